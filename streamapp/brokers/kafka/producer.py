"""An idempotent producer of whole batches that uses aiokafka.

Hot path: batches are aiokafka's own, so a record costs only its encoding; each batch costs one
further future.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.protocol.metadata import MetadataRequest

from streamapp.brokers.compression import BatchCompression, Compression
from streamapp.brokers.kafka.batch import KafkaBatch
from streamapp.brokers.kafka.compressor import Compressor
from streamapp.brokers.kafka.connection import Connection
from streamapp.brokers.kafka.failures import produce_error, reported
from streamapp.brokers.kafka.forced_close import force_close
from streamapp.brokers.kafka.produce_request import encode_once
from streamapp.brokers.protocols import BatchBuilder, ProducerConfig
from streamapp.errors import BrokerError, TopicError

_METADATA_TIMEOUT_SECONDS = 10.0


class KafkaProducer:
    """Writes batches with `acks=all` and idempotence.

    The future of a batch gets aiokafka's `RecordMetadata` as its result, or a `BrokerError` whose
    cause is the client's error. `stop` lets the futures of unacknowledged batches fail.
    """

    def __init__(
        self,
        config: ProducerConfig,
        connection: Connection,
        compression: Compression | None = None,
        *,
        in_thread: bool = False,
    ) -> None:
        self._config = config
        self._compressor = Compressor() if in_thread else None
        self._compression = compression
        self._connection = connection
        self._client: Any = None
        self._outstanding: set[asyncio.Future[object]] = set()
        self._sending: set[asyncio.Timeout] = set()

    async def start(self) -> None:
        """Connect and get a producer id.

        Raises:
            BrokerError: Kafka cannot be reached.
        """
        client = self._make_client()
        await self._connection.start(client.start, client.stop, (client,))
        self._client = client

    async def stop(self) -> None:
        """Close at once; batches that are not acknowledged fail."""
        client, self._client = self._client, None
        if self._compressor is not None:
            self._compressor.stop()
        if client is None:
            return
        if not self._outstanding and not self._sending:
            await self._connection.stop(client.stop, (client,))
            return
        loop = asyncio.get_running_loop()
        for scope in self._sending:
            scope.reschedule(loop.time())
        # The client's `stop` would wait for every batch: it is only begun, so that the client
        # accepts no more, and then cancelled.
        closing = asyncio.create_task(client.stop())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing}, timeout=1)
        await force_close(client)
        for acknowledgement in list(self._outstanding):
            self._fail_stopped(acknowledgement)

    async def partition_count(self, topic: str) -> int:
        """Number of partitions of the topic.

        Raises:
            TopicError: there is no such topic.
        """
        client = self._running().client
        known = client.cluster.partitions_for_topic(topic)
        if known is not None:
            return len(known)
        with reported(f"topic {topic!r}: asking for its partitions", self._connection.address):
            async with asyncio.timeout(_METADATA_TIMEOUT_SECONDS):
                request = MetadataRequest([topic], allow_auto_topic_creation=False)
                answer = await client.send(client.get_random_node(), request)
        partitions = answer.to_object()["topics"][0]["partitions"]
        if not partitions:
            raise TopicError(f"topic {topic!r} does not exist at {self._connection.address}")
        return len(partitions)

    def create_batch(
        self, max_bytes: int | None = None, for_large: Sequence[Compression] = ()
    ) -> KafkaBatch:
        """Make an empty batch."""
        full = self._config.max_batch_bytes
        full = full if max_bytes is None else min(full, max_bytes)
        compression = BatchCompression(self._compression, max_bytes, for_large)
        return KafkaBatch(full, compression, compressor=self._compressor)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        """Give a batch to the client; waits while it has another unsent one of the partition.

        Raises:
            TopicError: there is no such topic or partition.
            BrokerError: the client did not accept the batch, or the producer was stopped.
        """
        client = self._running()
        sent = await self._hand_over(client, batch, topic, partition)
        acknowledgement: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._outstanding.add(acknowledgement)

        def acknowledge(done: "asyncio.Future[object]") -> None:
            self._outstanding.discard(acknowledgement)
            error = None if done.cancelled() else done.exception()
            if acknowledgement.done():
                return
            if done.cancelled():
                self._fail_stopped(acknowledgement)
            elif error is not None:
                doing = f"topic {topic!r} partition {partition}: writing a batch"
                failure = produce_error(error, doing, self._connection.address)
                failure.__cause__ = error
                acknowledgement.set_exception(failure)
            else:
                acknowledgement.set_result(done.result())

        sent.add_done_callback(acknowledge)
        return acknowledgement

    async def _hand_over(
        self, client: Any, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        """Let the client queue the batch; `stop` ends this wait with an error.

        Whatever is awaited here is ended by `stop`: a client that was stopped would take the batch,
        and nobody would ever say that it failed.
        """
        scope = asyncio.timeout(None)
        self._sending.add(scope)
        try:
            async with scope:
                if isinstance(batch, KafkaBatch):
                    await batch.compressed()
                count = await self.partition_count(topic)
                if partition >= count:  # it may have grown since the client was told of it
                    async with asyncio.timeout(_METADATA_TIMEOUT_SECONDS):
                        await client.client.force_metadata_update()
                    count = await self.partition_count(topic)
                if not 0 <= partition < count:
                    raise TopicError(
                        f"topic {topic!r} has {count} partitions and none of the number {partition}"
                    )
                with reported(f"topic {topic!r}: handing over a batch", self._connection.address):
                    sent: asyncio.Future[object] = await client.send_batch(
                        batch, topic, partition=partition
                    )
                return sent
        except TimeoutError:
            raise _stopped() from None
        finally:
            self._sending.discard(scope)

    def _running(self) -> Any:
        if self._client is None:
            raise BrokerError("this producer is not running: start a new one")
        return self._client

    def _make_client(self) -> Any:
        producer = AIOKafkaProducer(
            **self._connection.options(),
            acks="all",
            enable_idempotence=True,
            max_batch_size=self._config.max_batch_bytes,
            request_timeout_ms=int(self._config.request_timeout_seconds * 1000),
        )
        encode_once(producer.client)
        return producer

    @staticmethod
    def _fail_stopped(acknowledgement: "asyncio.Future[object]") -> None:
        if not acknowledgement.done():
            acknowledgement.set_exception(_stopped())
            # Retrieved, or asyncio would log it: whoever stopped the producer may not await it.
            acknowledgement.exception()


def _stopped() -> BrokerError:
    return BrokerError("the producer was stopped before this batch was acknowledged")
