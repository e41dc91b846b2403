"""A real Kafka for tests: the development broker, and topics on it."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from streamapp.local_kafka.broker import DevBroker
from streamapp.local_kafka.config import BrokerOptions
from streamapp.local_kafka.watchdog import Watchdog


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker that runs.

    Attributes:
        bootstrap_servers: address of its plain listener.
        listeners: address of every listener by name.
        broker: for tests that take it down and up again; not on the session's shared one.
    """

    bootstrap_servers: str
    listeners: Mapping[str, str]
    broker: DevBroker

    async def create_topic(
        self,
        prefix: str = "topic",
        *,
        partitions: int = 1,
        replication_factor: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> str:
        """Create a topic with a name that no other test has, and return the name."""
        name = unique_name(prefix)
        await self.create_topics(
            {name: partitions}, replication_factor=replication_factor, config=config
        )
        return name

    async def create_topics(
        self,
        partitions: Mapping[str, int],
        *,
        replication_factor: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """Create topics by name, each with so many partitions."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            answer = await admin.create_topics(
                [
                    NewTopic(name, count, replication_factor, topic_configs=dict(config or {}))
                    for name, count in partitions.items()
                ]
            )
        finally:
            await admin.close()
        for name, code, message in answer.topic_errors:
            if code:
                raise for_code(code)(f"{name}: {message}")


def unique_name(prefix: str) -> str:
    """A name for a topic or a group that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@contextmanager
def running_kafka(folder: Path, options: BrokerOptions | None = None) -> Iterator[Kafka]:
    """A broker in this folder; down at the end, also when this process is killed."""
    broker = DevBroker(folder, options)
    guard = Watchdog(folder)
    try:
        state = broker.up().status.state
        names = state.nodes[0].listener_ports
        yield Kafka(
            state.bootstrap_servers, {name: state.addresses(name) for name in names}, broker
        )
    finally:
        broker.down()
        guard.dismiss()
