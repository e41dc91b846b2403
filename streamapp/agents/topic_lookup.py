"""Adds what a compacted topic says of the key of each object."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from pydantic import Field

from streamapp.agents.lookup import Lookup, LookupConfiguration
from streamapp.agents.topic_table import TopicTable
from streamapp.brokers.current import current_broker
from streamapp.clock import current_clock
from streamapp.errors import ConfigurationError, Permanent
from streamapp.pipeline.capability import Capability


class TopicLookupConfiguration(LookupConfiguration):
    """Configuration of a `TopicLookup`.

    Attributes:
        topic: the topic, which has to be compacted; its keys are text in UTF-8, its values JSON.
        max_bytes: most bytes of its keys and values, which are kept in memory.
    """

    topic: str = Field(min_length=1)
    max_bytes: int = Field(default=64 * 1024 * 1024, ge=1)


class TopicLookup:
    """Adds what a compacted topic says of the key of each object.

    Each worker reads all partitions of the topic to their end when the agent opens, and follows
    them from then on. What was written a moment ago may not be known yet.

    Raises:
        ConfigurationError: in `open`, if the topic is missing, not compacted or too large, or there
            is no broker. When the topic becomes too large later, the worker ends with it.
        BrokerError: in `open`, if the topic cannot be read.
        Permanent: nothing is known of a key, it is no key, or the topic has no JSON for it.
    """

    capabilities = (Capability.DATA_ENRICHMENT,)
    Configuration = TopicLookupConfiguration

    def __init__(self, configuration: TopicLookupConfiguration) -> None:
        self._configuration = configuration
        self._lookup = Lookup(configuration)
        self._table: TopicTable | None = None
        self._following: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Read the topic, and begin to follow it."""
        configuration = self._configuration
        table = TopicTable(
            current_broker(), configuration.topic, configuration.max_bytes, current_clock()
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(table.close)
            await table.open()
            group = await stack.enter_async_context(asyncio.TaskGroup())
            self._following = group.create_task(table.follow())
            self._stack = stack.pop_all()
        self._table = table

    async def close(self) -> None:
        """Stop to follow the topic."""
        if self._following is not None:
            self._following.cancel()
        await self._stack.aclose()

    def __call__(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object, with what is known of its key."""
        if self._table is None:
            raise ConfigurationError("the agent was called before it was opened")
        key = self._lookup.key(value)
        found = (
            None if key is None else self._table.entries.get(key.encode("utf-8", "surrogatepass"))
        )
        try:
            return self._lookup.joined(value, found)
        except ValueError as error:
            topic = self._configuration.topic
            raise Permanent(f"the topic {topic!r} has something else than JSON for it") from error
