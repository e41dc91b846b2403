"""The Kafka that a command works with, and whether it can be reached at all."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import typer

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin, Broker
from streamapp.cli.environment import slips
from streamapp.errors import ConfigurationError
from streamapp.settings import KafkaSettings


def kafka_broker(bootstrap_servers: str | None) -> KafkaBroker:
    """The Kafka that the environment describes, at these servers if any are given.

    Raises:
        ConfigurationError: the address or a setting is wrong.
    """
    return KafkaBroker(kafka_settings(bootstrap_servers))


def kafka_line(settings: KafkaSettings) -> str:
    """Says which Kafka a command works with, beside the addresses that it serves."""
    return f"Kafka    {', '.join(settings.servers)}"


def kafka_settings(bootstrap_servers: str | None, *, tell_slips: bool = True) -> KafkaSettings:
    """The connection from the environment; variables that look like slips are told on stderr.

    Raises:
        ConfigurationError: the address or a setting is wrong.
    """
    for sentence in slips(os.environ) if tell_slips else ():
        typer.echo(f"streamapp: {sentence}", err=True)
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
    """An admin client while the block runs.

    Raises:
        BrokerError: Kafka cannot be reached.
    """
    admin = broker.admin()
    with client_log_held():
        await admin.start()
    try:
        yield admin
    finally:
        await admin.stop()


@contextmanager
def client_log_held() -> Iterator[None]:
    """Let the client say nothing of a first connection that fails: our error says all of it."""
    client = logging.getLogger("aiokafka")
    before = client.level
    client.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        client.setLevel(before)
