"""Reads the topics of a stage by a Faust application."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamapp.brokers.protocols import Broker, Consumer, ConsumerConfig, RebalanceListener
from streamapp.errors import ConfigurationError
from streamapp.faust_adapter.consumer import FaustConsumer
from streamapp.faust_adapter.embedded_app import EmbeddedApp


@dataclass(frozen=True, slots=True, eq=False)
class FaustReader:
    """`pipeline.reader.Reader` of a Faust agent.

    Attributes:
        agent: the Faust agent.
        embedded: its application.
        on_consumer: called with the consumer of the stage when it is made.
    """

    agent: Any
    embedded: EmbeddedApp
    on_consumer: Callable[[FaustConsumer], None]

    @property
    def in_words(self) -> str:
        """Its application."""
        return f"Faust application {self.group!r}"

    @property
    def group(self) -> str:
        """Id of the application."""
        return self.embedded.name

    @property
    def topics(self) -> frozenset[str]:
        """Topics of the agent."""
        return frozenset(self.agent.channel.topics)

    def broker(self, broker: Broker) -> Broker:
        """The broker with consumers that read by Faust.

        Raises:
            ConfigurationError: it is not Kafka, or not that of the application, or the application
                has a setting that cannot be kept.
        """
        return FaustBroker(broker, self)


class FaustBroker:
    """A broker whose consumers read by Faust."""

    def __init__(self, broker: Broker, reader: FaustReader) -> None:
        servers = getattr(broker, "servers", None)
        if not servers:
            raise ConfigurationError(
                f"the {reader.in_words} reads from Kafka, not from the memory broker; run it on"
                " Kafka"
            )
        reader.embedded.check(servers)
        reader.embedded.ask_with(broker.admin)
        self._broker = broker
        self._reader = reader
        self.compression = broker.compression
        self.producer = broker.producer
        self.admin = broker.admin

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> Consumer:
        """The consumer of the stage."""
        consumer = FaustConsumer(self._reader.embedded, config, listener)
        self._reader.embedded.add(self._reader.agent.name, consumer)
        self._reader.on_consumer(consumer)
        return consumer
