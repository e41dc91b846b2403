"""A client that sends single requests, for what aiokafka's own clients do not offer."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest

from streamapp.brokers.kafka.connection import Connection
from streamapp.brokers.kafka.failures import reported
from streamapp.errors import BrokerError, TopicError
from streamapp.record import TopicPartition

T = TypeVar("T")

_REQUEST_TIMEOUT_SECONDS = 30.0  # Kafka's own default for one request
_RETRY_SECONDS = 0.1  # what is waited for, such as a new leader, mostly takes less than a second
# Numbers of Kafka's protocol.
_READ_COMMITTED = 1
EARLIEST = -2
LATEST = -1


class RequestClient:
    """Sends requests to brokers of the cluster, with retries and deadlines."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: Any = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerError: Kafka cannot be reached.
        """
        client = AIOKafkaClient(**self._connection.options())
        await self._connection.start(client.bootstrap, client.close, (client,))
        self._client = client

    async def stop(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await self._connection.stop(client.close, (client,))

    @asynccontextmanager
    async def operation(self, doing: str) -> AsyncIterator[None]:
        """Set a deadline for what is done inside, and turn its errors into `BrokerError`.

        Args:
            doing: what is being done, for the error message.
        """
        with reported(doing, self._connection.address):
            async with asyncio.timeout(_REQUEST_TIMEOUT_SECONDS):
                yield

    async def send(self, request: Request[Any], *, node_id: int | None = None) -> Any:
        """Send a request to this broker, or to any broker."""
        client = self._running()
        return await client.send(client.get_random_node() if node_id is None else node_id, request)

    async def send_to_controller(self, request: Request[Any]) -> Any:
        """Send a request to the controller; with KRaft, any broker forwards it there."""
        controller = self._running().cluster.controller
        return await self.send(request, node_id=controller.nodeId if controller else None)

    def node_ids(self) -> list[int]:
        """Ids of all brokers."""
        return [broker.nodeId for broker in self._running().cluster.brokers()]

    async def topics(
        self, names: Collection[str], *, node_id: int | None = None
    ) -> Mapping[str, Mapping[str, Any]]:
        """Metadata of the named topics that exist; creates no topic."""
        request = MetadataRequest(sorted(names), allow_auto_topic_creation=False)
        answer = (await self.send(request, node_id=node_id)).to_object()
        return {topic["topic"]: topic for topic in answer["topics"] if topic["partitions"]}

    async def partition_counts(self, names: Collection[str]) -> Mapping[str, int]:
        """Number of partitions of each topic.

        Raises:
            TopicError: a topic does not exist.
        """
        async with self.operation("asking for topics"):
            found = await self.topics(names)
        missing = sorted(set(names) - set(found))
        if missing:
            raise TopicError(
                f"topic {missing[0]!r} does not exist at {self._connection.address}; "
                "create it first"
            )
        return {name: len(topic["partitions"]) for name, topic in found.items()}

    async def by_leader(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[int, list[TopicPartition]]:
        """Group partitions by the broker that is their leader.

        Raises:
            TopicError: a partition does not exist.
        """
        found = await self.topics({partition.topic for partition in partitions})
        leaders = {
            TopicPartition(name, entry["partition"]): entry["leader"]
            for name, topic in found.items()
            for entry in topic["partitions"]
        }
        grouped: defaultdict[int, list[TopicPartition]] = defaultdict(list)
        for partition in partitions:
            if partition not in leaders:
                raise TopicError(
                    f"topic {partition.topic!r} has no partition {partition.partition} at "
                    f"{self._connection.address}"
                )
            grouped[leaders[partition]].append(partition)
        return grouped

    async def list_offsets(
        self, partitions: Collection[TopicPartition], timestamp: int
    ) -> Mapping[TopicPartition, int]:
        """Offset of each partition that a `read_committed` consumer can read.

        Args:
            partitions: partitions to ask for.
            timestamp: `EARLIEST`, `LATEST`, or the timestamp that a record has at least, in
                milliseconds since the epoch; the offset is -1 where there is no such record.
        """

        async def ask() -> Mapping[TopicPartition, int]:
            offsets: dict[TopicPartition, int] = {}
            for leader, led in (await self.by_leader(partitions)).items():
                asked = [(topic, [(p, timestamp) for p in ps]) for topic, ps in by_topic(led)]
                request = OffsetRequest(-1, _READ_COMMITTED, asked)
                answer = await self.send(request, node_id=leader)
                for topic, entries in answer.topics:
                    for partition, code, _, offset in entries:
                        raise_for(code, f"{topic}-{partition}")
                        offsets[TopicPartition(topic, partition)] = offset
            return offsets

        if not partitions:
            return {}
        async with self.operation("asking for offsets"):
            return await self.retry(ask)

    async def retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat an attempt while it fails with a retriable error; `operation` has the deadline."""
        while True:
            try:
                return await attempt()
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    async def wait_until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Ask again and again until the condition holds; `operation` has the deadline."""
        while not await self.retry(condition):  # noqa: ASYNC110 - brokers send no notification
            await asyncio.sleep(_RETRY_SECONDS)

    def _running(self) -> Any:
        if self._client is None:
            raise BrokerError("this client is not running: start it first")
        return self._client


def by_topic(partitions: Collection[TopicPartition]) -> list[tuple[str, list[int]]]:
    """Partition numbers by topic, as requests need them."""
    grouped: defaultdict[str, list[int]] = defaultdict(list)
    for topic, partition in partitions:
        grouped[topic].append(partition)
    return list(grouped.items())


def raise_for(code: int, where: str) -> None:
    """Raise the client's exception for an error code of the protocol; 0 is no error."""
    if code:
        raise for_code(code)(where)
