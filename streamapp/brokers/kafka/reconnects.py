"""Bounds how often a Kafka client connects and asks for metadata, and waits for a named broker.

aiokafka 0.14 has no wait between two connects to a node, and none between two requests for metadata
while the leader of a partition is unknown: in an outage a client connects up to a thousand times a
second. The waits are those of Java's client (`reconnect.backoff.ms` and `.max.ms`,
`retry.backoff.ms`).

A broker that has lost its registration, as after it stood still, answers but names no broker for
some seconds. A client that starts then would have none to ask for its coordinator, and its
background task would end for good, so a start lasts until one is named.

This replaces three methods of a client object.
"""

import asyncio
import random
from collections import defaultdict
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup

from streamapp.brokers.kafka.forced_close import parts
from streamapp.brokers.kafka.reach import Reach

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0

JITTER = 0.2
"""Each wait is up to so much longer or shorter, so that clients do not come back together."""

FREE_UPDATES = 10
"""So many requests for metadata may follow one another at once: a client that starts needs some."""

UPDATE_SECONDS = 0.1
"""Time after which one more may."""

UNNAMED_WAIT_SECONDS = 0.2
"""Wait of a start before it asks again, when no broker was named to it."""


class Reconnects:
    """The failed connects to one node.

    Attributes:
        failures: how many have failed since the last one that succeeded.
        next_at: monotonic seconds of the event loop before which there is no other.
        lock: held during a connect.
    """

    __slots__ = ("failures", "lock", "next_at")

    def __init__(self) -> None:
        self.failures = 0
        self.next_at = 0.0
        self.lock = asyncio.Lock()

    def failed(self, now: float) -> None:
        """Note that a connect has failed."""
        longest = FIRST_WAIT_SECONDS * 2 ** min(self.failures, 10)
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        self.next_at = now + min(LONGEST_WAIT_SECONDS, longest) * spread
        self.failures += 1

    def succeeded(self) -> None:
        """Note that there is a connection."""
        self.failures, self.next_at = 0, 0.0


class _Guard:
    """Stands before the connects and requests for metadata of one client."""

    def __init__(self, client: Any, reach: Reach) -> None:
        self._client = client
        self._reach = reach
        self._connect = client._get_conn  # noqa: SLF001 - there is no public way
        self._update = client._metadata_update  # noqa: SLF001 - the same
        self._bootstrap_once = client.bootstrap
        self._nodes: defaultdict[Any, Reconnects] = defaultdict(Reconnects)
        self._updates_until = 0.0
        client._get_conn = self._get_conn  # noqa: SLF001 - the same
        client._metadata_update = self._metadata_update  # noqa: SLF001 - the same
        client.bootstrap = self._bootstrap

    async def _bootstrap(self) -> None:
        await self._bootstrap_once()
        while not self._client.cluster.brokers():
            kept = self._client._conns.pop(("bootstrap", ConnectionGroup.DEFAULT), None)  # noqa: SLF001 - the same
            if kept is not None:
                kept.close()
            await asyncio.sleep(UNNAMED_WAIT_SECONDS)
            await self._bootstrap_once()

    async def _get_conn(
        self, node_id: Any, *, group: Any = ConnectionGroup.DEFAULT, no_hint: bool = False
    ) -> Any:
        existing = self._client._conns.get((node_id, group))  # noqa: SLF001 - the same
        if existing is not None and existing.connected():
            return existing
        loop, node = asyncio.get_running_loop(), self._nodes[node_id]
        failures = node.failures
        await asyncio.sleep(max(0.0, node.next_at - loop.time()))
        async with node.lock:
            if node.failures > failures:
                return None  # another caller has tried meanwhile, and it failed
            connection = await self._connect(node_id, group=group, no_hint=no_hint)
            if connection is None:
                node.failed(loop.time())
                self._reach.failed(node_id, loop.time(), is_cut_off=self._is_cut_off())
            else:
                node.succeeded()
                self._reach.succeeded(node_id, loop.time())
            return connection

    def _is_cut_off(self) -> bool:
        connections = self._client._conns.values()  # noqa: SLF001 - the same
        return not any(one.connected() for one in connections)

    async def _metadata_update(self, cluster: Any, topics: Any) -> Any:
        now = asyncio.get_running_loop().time()
        self._updates_until = max(now, self._updates_until) + UPDATE_SECONDS
        ahead_seconds = self._updates_until - now - FREE_UPDATES * UPDATE_SECONDS
        if ahead_seconds > 0:
            await asyncio.sleep(ahead_seconds)
        return await self._update(cluster, topics)


def bound_reconnects(*owners: object, reach: Reach) -> None:
    """Bound the connects and requests for metadata of these clients, before they start.

    Args:
        owners: what has the clients.
        reach: told what becomes of each connect.
    """
    for owner in owners:
        for part in parts(owner):
            if isinstance(part, AIOKafkaClient) and "_get_conn" not in vars(part):
                _Guard(part, reach)
