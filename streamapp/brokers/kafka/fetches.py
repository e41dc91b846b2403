"""What the Kafka client has fetched, handed out in whole batches.

The client's own `getmany` makes an object in Python for each record. This takes what its compiled
parser makes, and minds the same things in the same order: checksums, aborted transactions, control
batches, records before the position, positions after batches. It knows aiokafka 0.14 from inside.

Hot path: a record costs a call of the compiled parser and nothing of Python.
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

from streamapp.record import Record

NOT_OF_THE_BYTES = (UnsupportedCodecError, MemoryError)
"""What parsing raises though the record may be whole. All else is the record's fault: a header
name that is not UTF-8, a record not as long as it says, whatever a codec says of broken bytes."""


class UnparsedError(Exception):
    """The record at an offset cannot be parsed; those before it were handed out.

    Attributes:
        partition: where it stands.
        offset: its offset, or that of its batch.
    """

    def __init__(self, partition: TopicPartition, offset: int) -> None:
        super().__init__(partition, offset)
        self.partition = partition
        self.offset = offset


class UnpackedRecords:
    """Records of one response for one partition: in the place of the client's `PartitionRecords`.

    Attributes:
        next_fetch_offset: offset after what was handed out; the client compares it with its
            position, and drops the response if somebody has sought in between.

    Args:
        packed: the client's object; none of its records was taken.
    """

    def __init__(self, packed: Any) -> None:
        self.next_fetch_offset: int = packed.next_fetch_offset
        self._packed = packed
        self._parsed: list[Record] = []
        self._taken = 0
        self._parsed_until = self.next_fetch_offset
        self._error: Exception | None = None

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left of it."""
        left = self._taken < len(self._parsed) or self._error is not None
        return not left and not self._packed._records.has_next()  # noqa: SLF001 - see the module

    @property
    def unparsed_offset(self) -> int:
        """Offset of the record that cannot be parsed, or that its batch begins at."""
        return self._parsed[-1].offset + 1 if self._parsed else self._parsed_until

    def take(self, max_records: int) -> list[Record]:
        """The next records, as many as there are up to `max_records`.

        Raises:
            Exception: the next one cannot be parsed, or not decompressed.
        """
        found: list[Record] = []
        while len(found) < max_records:
            if self._taken == len(self._parsed) and not self._parse():
                break
            room = max_records - len(found)
            taken = self._parsed[self._taken : self._taken + room]
            self._taken += len(taken)
            found = found + taken if found else taken
        if self._taken < len(self._parsed) or self._error is not None:
            if found:
                self.next_fetch_offset = found[-1].offset + 1
        else:
            self.next_fetch_offset = self._parsed_until
        if self._error is not None and not found:
            raise self._error  # again and again: what follows it must not be handed out
        return found

    def _parse(self) -> bool:
        """Parse the next batch that has records to hand out; whether there was one."""
        packed = self._packed
        if self._error is not None:
            return False
        while packed._records.has_next():  # noqa: SLF001 - see the module
            self._parsed, self._taken = [], 0
            try:
                batch = packed._records.next_batch()  # noqa: SLF001 - see the module
                if packed._check_crcs and not batch.validate_crc():  # noqa: SLF001 - see the module
                    raise CorruptRecordException(f"Invalid CRC - {packed._tp}")  # noqa: SLF001, TRY301
                if not self._is_hidden(batch):
                    self._parsed.extend(batch)  # keeps what stands before one that raises
            except Exception as error:  # noqa: BLE001 - raised once those before it are taken
                self._error = error
            self._skip_before(self._parsed_until)
            if self._error is not None:
                return bool(self._parsed)
            self._parsed_until = batch.next_offset
            if self._parsed:
                return True
        return False

    def _is_hidden(self, batch: Any) -> bool:
        """Whether nobody is shown this batch: it is of the broker, or of an aborted transaction."""
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
        """A compressed batch comes whole, even if reading begins in the middle of it."""
        if self._parsed and self._parsed[0].offset < position:
            self._parsed = [record for record in self._parsed if record.offset >= position]


async def take(
    client: Any, partitions: Collection[TopicPartition], max_records: int, timeout_seconds: float
) -> dict[TopicPartition, list[Record]]:
    """Records of these partitions, as `getmany` gives them; also counts as a poll.

    Unlike `getmany` it waits no longer than it is told to, a rebalance included.

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
            waiter.result()  # raises when the client is not allowed to read
    finally:
        subscription._fetch_count -= 1  # noqa: SLF001 - see the module
        subscription._last_fetch_ended = time.monotonic()  # noqa: SLF001 - see the module


def _take_now(
    fetcher: Any, subscription: Any, partitions: Collection[TopicPartition], max_records: int
) -> dict[TopicPartition, list[Record]]:
    """What there is without waiting."""
    taken: dict[TopicPartition, list[Record]] = {}
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
                break  # the next call raises it; these records are not lost
            _forget(fetcher, partition)  # what follows is fetched anew from the position
            raise
        if not buffered[partition].has_more():
            _forget(fetcher, partition)
        if records:
            taken[partition] = records
            max_records -= len(records)
            if not max_records:
                break
    return taken


def _take_of(result: Any, partition: TopicPartition, max_records: int) -> list[Record]:
    """Take from one response; when nothing is left of it, its `has_more` says so.

    Raises:
        UnparsedError: the next record cannot be parsed.
        UnsupportedCodecError: it cannot be decompressed here.
        KafkaError: the partition could not be fetched.
    """
    if type(result) is not FetchResult:
        result.check_raise()
    if not result.check_assignment(partition) or not result.has_more():
        return []
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
    if unpacked.exhausted:
        result._partition_records = None  # noqa: SLF001 - see the module
    return records


def _forget(fetcher: Any, partition: TopicPartition) -> None:
    """Let the client fetch the partition again."""
    del fetcher._records[partition]  # noqa: SLF001 - see the module
    fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001 - see the module
