"""The Kafka broker: makes the clients of one Kafka cluster."""

from streamapp.brokers.compression import Compression
from streamapp.brokers.kafka.admin import KafkaAdmin
from streamapp.brokers.kafka.connection import Connection, cap_client_logging
from streamapp.brokers.kafka.consumer import KafkaConsumer
from streamapp.brokers.kafka.partition_reader import KafkaPartitionReader
from streamapp.brokers.kafka.producer import KafkaProducer
from streamapp.brokers.kafka.transactions import KafkaTransactions
from streamapp.brokers.protocols import ConsumerConfig, ProducerConfig, RebalanceListener
from streamapp.errors import ConfigurationError
from streamapp.settings import KafkaSettings


class KafkaBroker:
    """Makes clients of one Kafka cluster; a client connects when its `start` is called.

    Attributes:
        compression: how its producers compress batches; `None` for not at all.
        servers: the bootstrap servers.

    Raises:
        ConfigurationError: a certificate or key of the settings cannot be used, or the library of
            a codec is not installed.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        cap_client_logging()
        self.compression = _compression(settings)
        self._connection = Connection(settings)
        self.servers = settings.servers

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> KafkaConsumer:
        """A new member of a group."""
        return KafkaConsumer(config, listener, self._connection)

    def producer(self, config: ProducerConfig) -> KafkaProducer:
        """A new producer."""
        in_thread = self._connection.settings.compress_in_thread
        return KafkaProducer(config, self._connection, self.compression, in_thread=in_thread)

    def transactional_producer(self, transactional_id: str) -> KafkaTransactions:
        """A new producer that writes in transactions."""
        return KafkaTransactions(transactional_id, self._connection, self.compression)

    def partition_reader(self, max_prefetch_bytes: int = 16 * 1024 * 1024) -> KafkaPartitionReader:
        """A new reader without a group."""
        return KafkaPartitionReader(self._connection, max_prefetch_bytes)

    def admin(self) -> KafkaAdmin:
        """A new admin client."""
        return KafkaAdmin(self._connection)


def _compression(settings: KafkaSettings) -> Compression | None:
    if settings.compression == "none":
        return None
    codec = Compression(settings.compression)
    if not codec.is_installed:
        raise ConfigurationError(
            f"STREAMAPP_KAFKA_COMPRESSION={codec} needs a library that is not installed; install"
            " cramjam, which writes snappy, lz4 and zstd"
        )
    return codec
