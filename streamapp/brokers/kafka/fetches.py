"""Takes what the Kafka client has fetched, in whole batches.

The client's own `getmany` makes a Python object for each record. This module lets whole batches be
parsed instead (`parsing.py`), and does the same checks in the same order: checksums, aborted
transactions, control batches, records before the position, the position after each batch. It uses
internals of aiokafka 0.14, which is why its private attributes are read everywhere here.

Hot path: for each record the compiled parser is called, and no Python code runs.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    UnsupportedCodecError,
)
from aiokafka.structs import TopicPartition

from streamapp.brokers.fetched import FetchedList
from streamapp.brokers.kafka.parsing import Parsed, join, parse

NOT_OF_THE_BYTES = (UnsupportedCodecError, MemoryError)
"""Errors of the parser that do not mean that the record is broken. All others do: a header name
that is not UTF-8, a record of a wrong length, or what a codec raises about broken bytes."""


class UnparsedError(Exception):
    """The record at an offset cannot be parsed; all records before it were returned already.

    Attributes:
        partition: the partition of the record.
        offset: offset of the record, or of its batch if that cannot be parsed.
    """

    def __init__(self, partition: TopicPartition, offset: int) -> None:
        super().__init__(partition, offset)
        self.partition = partition
        self.offset = offset


class UnpackedRecords:
    """Records of one response for one partition; replaces the client's `PartitionRecords`.

    Attributes:
        next_fetch_offset: offset after the records that were taken. The client compares it with its
            position, and drops the response if `seek` has changed that.

    Args:
        packed: the client's object, of which no record was taken yet.
    """

    def __init__(self, packed: Any) -> None:
        self.next_fetch_offset: int = packed.next_fetch_offset
        self._packed = packed
        self._parsed: Parsed = FetchedList(())
        self._taken = 0
        self._parsed_until = self.next_fetch_offset
        self._error: Exception | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all records were taken and no error is left to raise."""
        left = self._taken < len(self._parsed) or self._error is not None
        return not left and not self._packed._records.has_next()  # noqa: SLF001 - see the module

    @property
    def unparsed_offset(self) -> int:
        """Offset of the record that cannot be parsed, or the first offset of its batch."""
        return self._parsed.offsets[-1] + 1 if len(self._parsed) else self._parsed_until

    def take(self, max_records: int) -> Parsed:
        """Take the next records, at most `max_records`; fewer where the format of a log changes.

        Raises:
            Exception: the next record cannot be parsed, or its batch cannot be decompressed.
        """
        found: Parsed = FetchedList(())
        while len(found) < max_records:
            if self._taken == len(self._parsed) and not self._parse():
                break
            room = max_records - len(found)
            taken = self._parsed.part(self._taken, self._taken + room)
            joined = join(found, taken) if len(found) else taken
            if joined is None:
                break
            found = joined
            self._taken += len(taken)
        if self._taken < len(self._parsed) or self._error is not None:
            if len(found):
                self.next_fetch_offset = found.offsets[-1] + 1
        else:
            self.next_fetch_offset = self._parsed_until
        if self._error is not None and not len(found):
            raise self._error  # in each later call too: records behind it must not be returned
        return found

    def _parse(self) -> bool:
        """Parse the next batch that has records to return; false if there is none."""
        packed = self._packed
        if self._error is not None:
            return False
        while packed._records.has_next():  # noqa: SLF001 - see the module
            self._parsed, self._taken = FetchedList(()), 0
            try:
                batch = packed._records.next_batch()  # noqa: SLF001 - see the module
                if packed._check_crcs and not batch.validate_crc():  # noqa: SLF001 - see the module
                    raise CorruptRecordException(f"Invalid CRC - {packed._tp}")  # noqa: SLF001, TRY301
                if not self._is_hidden(batch):
                    self._parsed, self._error = parse(batch)  # what stands before an error is kept
            except Exception as error:  # noqa: BLE001 - raised when the records before it are taken
                self._error = error
            self._skip_before(self._parsed_until)
            if self._error is not None:
                return len(self._parsed) > 0
            self._parsed_until = batch.next_offset
            if len(self._parsed):
                return True
        return False

    def _is_hidden(self, batch: Any) -> bool:
        """Whether consumers do not see this batch: a control batch, or an aborted transaction."""
        packed = self._packed
        if packed._isolation_level == READ_COMMITTED and batch.producer_id is not None:  # noqa: SLF001 - see the module
            packed._consume_aborted_up_to(batch.base_offset)  # noqa: SLF001 - see the module
            aborted = packed._aborted_producers  # noqa: SLF001 - see the module
            if batch.is_control_batch and packed._contains_abort_marker(batch):  # noqa: SLF001 - see the module
                aborted.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in aborted:
                return True
        return bool(batch.is_control_batch)

    def _skip_before(self, position: int) -> None:
        """Drop records before the position: a batch comes whole, even if reading begins inside."""
        if len(self._parsed) and self._parsed.offsets[0] < position:
            self._parsed = self._parsed.since(position)


async def take(
    client: Any, partitions: Collection[TopicPartition], max_records: int, timeout_seconds: float
) -> dict[TopicPartition, Parsed]:
    """Return records of these partitions, as the client's `getmany` does; counts as a poll.

    Unlike `getmany`, it never waits longer than `timeout_seconds`, not even during a rebalance.

    Raises:
        UnparsedError: a record cannot be parsed.
    """
    if client._closed:  # noqa: SLF001 - see the module
        raise ConsumerStoppedError
    client._coordinator.check_errors()  # noqa: SLF001 - see the module
    fetcher, subscription = client._fetcher, client._subscription  # noqa: SLF001 - see the module
    deadline = time.monotonic() + timeout_seconds
    subscription._fetch_count += 1  # noqa: SLF001 - see the module
    try:
        while True:
            if not subscription.reassignment_in_progress:
                if taken := _take_now(fetcher, subscription, partitions, max_records):
                    return taken
                waiter = fetcher._create_fetch_waiter()  # noqa: SLF001 - see the module
            else:
                waiter = asyncio.ensure_future(subscription.wait_for_assignment())
            done, _ = await asyncio.wait({waiter}, timeout=max(0.0, deadline - time.monotonic()))
            if not done or fetcher._closed:  # noqa: SLF001 - see the module
                waiter.cancel()
                return {}
            waiter.result()  # raises if the client lacks the permission to read
    finally:
        subscription._fetch_count -= 1  # noqa: SLF001 - see the module
        subscription._last_fetch_ended = time.monotonic()  # noqa: SLF001 - see the module


async def arrived(client: Any, timeout_seconds: float) -> list[TopicPartition]:
    """Wait until the client has received records; all partitions of which it has some buffered."""
    if client._closed:  # noqa: SLF001 - see the module
        raise ConsumerStoppedError
    client._coordinator.check_errors()  # noqa: SLF001 - see the module
    fetcher, subscription = client._fetcher, client._subscription  # noqa: SLF001 - see the module
    subscription._fetch_count += 1  # noqa: SLF001 - see the module
    waiter = fetcher._create_fetch_waiter()  # noqa: SLF001 - see the module
    try:
        done, _ = await asyncio.wait({waiter}, timeout=timeout_seconds)
        if done:
            waiter.result()  # raises if the client lacks the permission to read
        return list(fetcher._records)  # noqa: SLF001 - see the module
    finally:
        waiter.cancel()
        subscription._fetch_count -= 1  # noqa: SLF001 - see the module
        subscription._last_fetch_ended = time.monotonic()  # noqa: SLF001 - see the module


def _take_now(
    fetcher: Any, subscription: Any, partitions: Collection[TopicPartition], max_records: int
) -> dict[TopicPartition, Parsed]:
    """Take what the client has buffered, without waiting."""
    taken: dict[TopicPartition, Parsed] = {}
    buffered = fetcher._records  # noqa: SLF001 - see the module
    for partition in list(buffered):
        if partition not in partitions:
            if not subscription.is_assigned(partition):
                del buffered[partition]
            continue
        try:
            records = _take_of(buffered[partition], partition, max_records)
        except Exception:
            if taken:
                break  # returns these records; the next call raises the error
            _drop_response(fetcher, partition)  # the client fetches again from its position
            raise
        if not buffered[partition].has_more():
            _drop_response(fetcher, partition)
        if len(records):
            taken[partition] = records
            max_records -= len(records)
            if not max_records:
                break
    return taken


def _take_of(result: Any, partition: TopicPartition, max_records: int) -> Parsed:
    """Take records of one response; afterwards its `has_more` says whether any are left.

    Raises:
        UnparsedError: the next record cannot be parsed.
        UnsupportedCodecError: it cannot be decompressed here.
        KafkaError: the partition could not be fetched.
    """
    if type(result) is not FetchResult:
        result.check_raise()
    if not result.check_assignment(partition) or not result.has_more():
        return FetchedList(())
    unpacked = result._partition_records  # noqa: SLF001 - see the module
    if not isinstance(unpacked, UnpackedRecords):
        unpacked = result._partition_records = UnpackedRecords(unpacked)  # noqa: SLF001 - see the module
    try:
        records = unpacked.take(max_records)
    except NOT_OF_THE_BYTES:
        raise
    except Exception as error:
        raise UnparsedError(partition, unpacked.unparsed_offset) from error
    result._update_position()  # noqa: SLF001 - see the module
    if unpacked.is_empty:
        result._partition_records = None  # noqa: SLF001 - see the module
    return records


def _drop_response(fetcher: Any, partition: TopicPartition) -> None:
    """Drop the buffered response of a partition, and let the client fetch the partition again."""
    del fetcher._records[partition]  # noqa: SLF001 - see the module
    fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001 - see the module
