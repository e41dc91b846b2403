"""A Kafka broker whose consumers tell a meter of their first assignment and of each commit."""

from collections.abc import Mapping

from benchmarks.measure import Meter
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.kafka.connection import Connection
from streamapp.brokers.kafka.consumer import KafkaConsumer
from streamapp.brokers.protocols import CommittedOffset, ConsumerConfig, RebalanceListener
from streamapp.record import TopicPartition
from streamapp.settings import KafkaSettings


class MeteredBroker(KafkaBroker):
    """The broker as it is, but for the meter: some calls a second, nothing for each record."""

    def __init__(self, bootstrap_servers: str, meter: Meter) -> None:
        settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
        super().__init__(settings)
        self._for_consumers = Connection(settings)
        self._meter = meter

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> KafkaConsumer:
        """A new member of a group."""
        metered = _MeteredListener(listener, self._meter)
        return _MeteredConsumer(config, metered, self._for_consumers, self._meter)


class _MeteredConsumer(KafkaConsumer):
    def __init__(
        self,
        config: ConsumerConfig,
        listener: RebalanceListener,
        connection: Connection,
        meter: Meter,
    ) -> None:
        super().__init__(config, listener, connection)
        self._meter = meter

    async def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        await super().commit(offsets)
        self._meter.committed()


class _MeteredListener:
    def __init__(self, listener: RebalanceListener, meter: Meter) -> None:
        self._listener = listener
        self._meter = meter

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        await self._listener.on_partitions_revoked(partitions)

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        self._meter.assigned()
        await self._listener.on_partitions_assigned(partitions)
