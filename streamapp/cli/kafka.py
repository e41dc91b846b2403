"""The connection of a command to Kafka."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin, Broker
from streamapp.cli.environment import refuse_unknown_settings
from streamapp.errors import ConfigurationError
from streamapp.settings import KafkaSettings


def kafka_broker(bootstrap_servers: str | None) -> KafkaBroker:
    """The broker that the environment describes; the given servers replace its address.

    Raises:
        ConfigurationError: the address or a setting is wrong.
    """
    return KafkaBroker(kafka_settings(bootstrap_servers))


def kafka_line(settings: KafkaSettings) -> str:
    """The line that says which Kafka a command connects to."""
    return f"Kafka    {', '.join(settings.servers)}"


def kafka_settings(bootstrap_servers: str | None) -> KafkaSettings:
    """The connection from the environment.

    Raises:
        ConfigurationError: the address or a setting is wrong, or a variable is not a setting.
    """
    refuse_unknown_settings(os.environ)
    if bootstrap_servers is None:
        return KafkaSettings()
    if not bootstrap_servers.strip():
        raise ConfigurationError("--bootstrap-servers is empty; give host:port")
    try:
        return KafkaSettings(bootstrap_servers=bootstrap_servers)
    except ConfigurationError as error:
        sentence = str(error).replace("STREAMAPP_KAFKA_BOOTSTRAP_SERVERS", "--bootstrap-servers")
        raise ConfigurationError(sentence) from None


@asynccontextmanager
async def started_admin(broker: Broker) -> AsyncIterator[Admin]:
    """Start an admin client and stop it at the end of the block.

    Raises:
        BrokerError: Kafka cannot be reached.
    """
    admin = broker.admin()
    with muted_client_log():
        await admin.start()
    try:
        yield admin
    finally:
        await admin.stop()


@contextmanager
def muted_client_log() -> Iterator[None]:
    """Mute the client's log while it first connects: our own error says what failed."""
    client = logging.getLogger("aiokafka")
    before = client.level
    client.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        client.setLevel(before)
