"""Measures the progress of a group with plain clients.

Every question is asked with a new client: an old one would still answer from its memory for a
while after its broker has gone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.patience import within

_POLL_SECONDS = 0.2
_ASK_SECONDS = 8.0


class TooSlowError(AssertionError):
    """What was waited for did not happen in time."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Measures the progress of one pipeline.

    Attributes:
        bootstrap_servers: addresses of the broker.
        group: consumer group of its stage.
        source, sink: its topics.
        partitions: number of partitions of each.
    """

    bootstrap_servers: str
    group: str
    source: str
    sink: str
    partitions: int

    async def committed(self) -> dict[int, int]:
        """Offset that the group has committed, by partition of the source."""
        async with admin(self.bootstrap_servers) as client:
            offsets = await client.list_consumer_group_offsets(self.group)
        return {
            place.partition: stored.offset
            for place, stored in offsets.items()
            if place.topic == self.source and stored.offset >= 0
        }

    async def ends(self, topic: str) -> dict[int, int]:
        """End offset of each partition of a topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap_servers)
        async with within(_ASK_SECONDS, f"the ends of {topic}"):
            await consumer.start()
            try:
                places = [TopicPartition(topic, number) for number in range(self.partitions)]
                ends = await consumer.end_offsets(places)
            finally:
                await consumer.stop()
        return {place.partition: end for place, end in ends.items()}

    async def written(self) -> int:
        """Number of records in the sink."""
        return sum((await self.ends(self.sink)).values())

    async def lag(self) -> int:
        """Number of records of the source that are not committed."""
        committed = await self.committed()  # first, or what comes in between would count as done
        return sum((await self.ends(self.source)).values()) - sum(committed.values())

    async def members(self) -> int:
        """Number of members of the group when it is stable; 0 during a rebalance."""
        async with admin(self.bootstrap_servers) as client:
            (answer,) = await client.describe_consumer_groups([self.group])
        (_, _, state, _, _, members, *_) = answer.groups[0]
        return len(members) if state == "Stable" else 0

    async def until(
        self, condition: Callable[[], Awaitable[bool]], what: str, *, seconds: float
    ) -> None:
        """Wait until the condition holds; a broker that does not answer counts as no.

        Raises:
            TooSlowError: it did not hold in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not await answered(condition):
            if loop.time() > deadline:
                raise TooSlowError(f"not within {seconds:g} s: {what}")
            await asyncio.sleep(_POLL_SECONDS)

    async def until_written(self, records: int, *, seconds: float) -> None:
        """Wait until the sink has this number of records, or everything is committed."""

        async def holds() -> bool:
            return await self.written() >= records or await self.lag() == 0

        await self.until(holds, f"{records} records in {self.sink}", seconds=seconds)

    async def until_joined(self, members: int, *, seconds: float = 60) -> None:
        """Wait until the group is stable with this number of members."""

        async def holds() -> bool:
            return await self.members() == members

        await self.until(holds, f"{members} members in {self.group}", seconds=seconds)

    async def until_drained(self, *, seconds: float) -> None:
        """Wait until everything is committed."""

        async def holds() -> bool:
            return await self.lag() == 0

        await self.until(holds, f"group {self.group} at the end of its source", seconds=seconds)

    async def until_all_move(self, *, seconds: float) -> None:
        """Wait until every partition of the sink has one more output than now."""
        before: dict[int, int] = {}

        async def holds() -> bool:
            now = await self.ends(self.sink)
            for partition, end in now.items():
                before.setdefault(partition, end)
            return all(now[partition] > end for partition, end in before.items())

        await self.until(holds, f"outputs in all partitions of {self.sink}", seconds=seconds)


async def answered(condition: Callable[[], Awaitable[bool]]) -> bool:
    """What the condition says; false if the broker does not answer."""
    try:
        async with within(_ASK_SECONDS, "an answer of the broker"):
            return await condition()
    except (KafkaError, OSError, TimeoutError):
        return False


@asynccontextmanager
async def admin(bootstrap_servers: str) -> AsyncIterator[Any]:
    """A plain admin client."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await client.start()
        yield client
    finally:
        await client.close()
