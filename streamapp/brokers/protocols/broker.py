"""Makes the clients."""

from typing import Protocol

from streamapp.brokers.compression import Compression
from streamapp.brokers.protocols.admin import Admin
from streamapp.brokers.protocols.consumer import Consumer, ConsumerConfig, RebalanceListener
from streamapp.brokers.protocols.partition_reader import PartitionReader
from streamapp.brokers.protocols.producer import Producer, ProducerConfig
from streamapp.brokers.protocols.transactional_producer import TransactionalProducer


class Broker(Protocol):
    """Makes clients; a client connects when its `start` is called."""

    @property
    def compression(self) -> Compression | None:
        """How its producers compress batches; `None` for not at all."""

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> Consumer:
        """Make a consumer, which joins its group when it starts."""

    def producer(self, config: ProducerConfig) -> Producer:
        """Make a producer."""

    def admin(self) -> Admin:
        """Make an admin client."""


class ReadingBroker(Broker, Protocol):
    """A broker whose partitions can be read without a group."""

    def partition_reader(self, max_prefetch_bytes: int = 16 * 1024 * 1024) -> PartitionReader:
        """Make a reader, which connects when it starts.

        Args:
            max_prefetch_bytes: most bytes that the client may buffer before they are asked for.
        """


class TransactionalBroker(ReadingBroker, Protocol):
    """A broker that has transactions too."""

    def transactional_producer(self, transactional_id: str) -> TransactionalProducer:
        """Make a producer that writes in transactions; of one id, only the last started does."""
