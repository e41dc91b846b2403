"""The Kafka broker: makes the clients of one Kafka cluster."""

from streamapp.brokers.kafka.admin import KafkaAdmin
from streamapp.brokers.kafka.connection import Connection, cap_client_logging
from streamapp.brokers.kafka.consumer import KafkaConsumer
from streamapp.brokers.kafka.producer import KafkaProducer
from streamapp.brokers.protocols import ConsumerConfig, ProducerConfig, RebalanceListener
from streamapp.settings import KafkaSettings


class KafkaBroker:
    """Makes clients of one Kafka cluster; a client connects when its `start` is called.

    Raises:
        ConfigurationError: a certificate or key of the settings cannot be used.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        cap_client_logging()
        self._connection = Connection(settings)

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> KafkaConsumer:
        """A new member of a group."""
        return KafkaConsumer(config, listener, self._connection)

    def producer(self, config: ProducerConfig) -> KafkaProducer:
        """A new producer."""
        return KafkaProducer(config, self._connection)

    def admin(self) -> KafkaAdmin:
        """A new admin client."""
        return KafkaAdmin(self._connection)
