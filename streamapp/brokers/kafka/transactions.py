"""A producer that writes whole transactions, with aiokafka.

Everything that a transaction writes is acknowledged before it is committed: aiokafka commits a
transaction of which an unawaited batch was refused.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors

from streamapp.brokers.compression import FOR_LARGE, BatchCompression, Compression
from streamapp.brokers.kafka.batch import KafkaBatch
from streamapp.brokers.kafka.connection import Connection
from streamapp.brokers.kafka.failures import CLIENT_ERRORS, produce_error
from streamapp.brokers.protocols import OutgoingRecord
from streamapp.errors import BrokerError, FencedError
from streamapp.record import TopicPartition

TRANSACTION_TIMEOUT_SECONDS = 15.0
"""A transaction whose producer was killed keeps readers waiting until it is aborted; that is at
this time at the latest, unless a producer with the same id starts before."""

_RETRY_MS = 5  # the broker answers "not yet" while it verifies a transaction
_ABORT_SECONDS = 5.0
_BATCH_BYTES = 64 * 1024  # less than most topics take; one record may be larger
_ERRORS: tuple[type[Exception], ...] = (*CLIENT_ERRORS, AssertionError)
"""aiokafka asserts its state in what is called after an error."""

_FENCED: tuple[type[Exception], ...] = (
    kafka_errors.ProducerFenced,
    kafka_errors.InvalidProducerEpoch,
    kafka_errors.InvalidProducerIdMapping,
)


class KafkaTransactions:
    """Writes records in transactions.

    Args:
        transactional_id: of producers with one id, only the last that was started may write.
        connection: how it connects.
        compression: how it compresses batches; `None` for not at all.
    """

    def __init__(
        self, transactional_id: str, connection: Connection, compression: Compression | None
    ) -> None:
        self._id = transactional_id
        self._connection = connection
        self._compression = compression
        self._client: Any = None

    async def start(self) -> None:
        """Connect, end what a producer with this id has left open, and let it write no more.

        Raises:
            BrokerError: Kafka cannot be reached, or refuses the id.
        """
        client = AIOKafkaProducer(
            **self._connection.options(),
            acks="all",
            transactional_id=self._id,
            transaction_timeout_ms=int(TRANSACTION_TIMEOUT_SECONDS * 1000),
            max_batch_size=_BATCH_BYTES,
            retry_backoff_ms=_RETRY_MS,
        )
        await self._connection.start(client.start, client.stop, (client,))
        self._client = client

    async def stop(self) -> None:
        """Close; an open transaction is aborted."""
        client, self._client = self._client, None
        if client is not None:
            await self._connection.stop(client.stop, (client,))

    async def write(self, records: Sequence[OutgoingRecord]) -> Mapping[TopicPartition, int]:
        """Write records in one transaction, and wait until it is committed.

        Returns:
            The offset behind the last of them in each partition, where it is known.

        Raises:
            FencedError: another producer with this id has started.
            BatchRefusedError: a topic refuses them for what is in them.
            BrokerError: they could not be written, or nobody knows whether they were.
        """
        if self._client is None:
            raise BrokerError("this producer is not running: start a new one")
        client = self._client
        try:
            async with asyncio.timeout(2 * TRANSACTION_TIMEOUT_SECONDS):
                await client.begin_transaction()
                try:
                    ends = await self._send_all(records)
                except _ERRORS:
                    await self._abort()
                    raise
                await client.commit_transaction()
        except _ERRORS as error:
            _mark_retrieved(client)
            raise self._failure(error) from error
        return ends

    async def _abort(self) -> None:
        """Let readers go on; if that fails, they wait for the timeout of the transaction."""
        with suppress(*_ERRORS):
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._client.abort_transaction()

    async def _send_all(self, records: Sequence[OutgoingRecord]) -> dict[TopicPartition, int]:
        sent, batches = [], self._batches(records)
        refused: Exception | None = None
        try:
            for place, batch in batches:
                batch.close()
                topic, partition = place
                sent.append(await self._client.send_batch(batch, topic, partition=partition))
        except _ERRORS as error:
            refused = error  # the client takes no more, mostly since an earlier batch has failed
        finally:
            # Also of those that were sent before a failure: nobody else looks at their errors.
            ended: list[Any] = await asyncio.gather(*sent, return_exceptions=True)
        failed = [one for one in ended if isinstance(one, BaseException)]
        if failed:
            raise failed[0]
        if refused is not None:
            raise refused
        ends: dict[TopicPartition, int] = {}
        for (place, batch), one in zip(batches, ended, strict=True):
            if one.offset >= 0:  # else the client has sent it twice
                ends[place] = one.offset + batch.record_count()
            else:
                ends.pop(place, None)
        return ends

    def _batches(
        self, records: Sequence[OutgoingRecord]
    ) -> Sequence[tuple[TopicPartition, KafkaBatch]]:
        """The records in batches, those of a partition in their order."""
        made: list[tuple[TopicPartition, KafkaBatch]] = []
        current: dict[TopicPartition, KafkaBatch] = {}
        for record in records:
            batch = current.get(record.place)
            if batch is None or not _append(batch, record):
                # An empty batch takes one record of any size.
                compression = BatchCompression(self._compression, record.max_batch_bytes, FOR_LARGE)
                full = min(_BATCH_BYTES, record.max_batch_bytes or _BATCH_BYTES)
                batch = KafkaBatch(full, compression, is_transactional=True)
                current[record.place] = batch
                made.append((record.place, batch))
                _append(batch, record)
        return made

    def _failure(self, error: BaseException) -> BrokerError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, _FENCED):
                return FencedError(
                    f"another producer with the transactional id {self._id!r} has started, so this"
                    " one may write no more; what it had not committed was not written"
                )
            cause = cause.__cause__ or cause.__context__
        doing = f"a transaction of {self._id!r}"
        return produce_error(error, doing, self._connection.address)


def _append(batch: KafkaBatch, record: OutgoingRecord) -> bool:
    appended = batch.append(
        timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=record.headers
    )
    return appended is not None


def _mark_retrieved(client: Any) -> None:
    """Read the errors that nobody awaits, so that asyncio does not log them: ours tells of them."""
    batches = client._message_accumulator._batches.values()  # noqa: SLF001 - no public way
    waiters = [batch._drain_waiter for some in batches for batch in some]  # noqa: SLF001 - the same
    waiters.append(client._txn_manager._transaction_waiter)  # noqa: SLF001 - the same
    for waiter in waiters:
        if waiter is not None and waiter.done() and not waiter.cancelled():
            waiter.exception()
