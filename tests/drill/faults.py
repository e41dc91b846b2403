"""The faults of the drill: what is done, and what has to be told of it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.drill.stand import Feed, Stand, stop_and_go

Injection = Callable[[Stand], AbstractAsyncContextManager[None]]

DAY_MS = 86_400_000
SCRAPED_SECONDS = 10.0
"""Both are scraped for so long in a rolling restart."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and what has to be told of it.

    Attributes:
        inject: makes it, and repairs it at its end.
        cause: what `/status`, the page and `streamapp lag --why` name; empty for what is no fault.
        alert: the rule that tells of it, without its beginning `Streamapp`.
        follows: rules that may tell of what comes of it.
        least_seconds: how long it lasts at least, so that what follows is seen.
    """

    inject: Injection
    cause: str = ""
    alert: str = ""
    follows: frozenset[str] = frozenset()
    least_seconds: float = 10.0


def doing(**mode: float) -> Injection:
    """A fault of the agent."""
    return feeding(mode, Feed())


def feeding(mode: dict[str, float], feed: Feed) -> Injection:
    """A fault of the producer, with an agent that does this."""

    @asynccontextmanager
    async def fault(stand: Stand) -> AsyncIterator[None]:
        stand.mode(**mode)
        stand.feed = feed
        yield
        stand.feed = Feed()
        stand.mode()

    return fault


@asynccontextmanager
async def broker_is_killed(stand: Stand) -> AsyncIterator[None]:
    status = stand.kafka.broker.status()
    assert status is not None
    for pid in status.pids:
        os.kill(pid, signal.SIGKILL)
    yield
    await asyncio.to_thread(stand.kafka.broker.up)


@asynccontextmanager
async def worker_is_killed(stand: Stand) -> AsyncIterator[None]:
    os.kill(stand.workers[0], signal.SIGKILL)
    yield


@asynccontextmanager
async def worker_is_frozen(stand: Stand) -> AsyncIterator[None]:
    pid = stand.workers[0]
    stop_and_go(pid, stop=True)
    yield
    with suppress(ProcessLookupError):  # it was replaced meanwhile
        stop_and_go(pid, stop=False)


def topic_is_deleted(name: str) -> Injection:
    @asynccontextmanager
    async def fault(stand: Stand) -> AsyncIterator[None]:
        admin = AIOKafkaAdminClient(bootstrap_servers=stand.kafka.bootstrap_servers)
        await admin.start()
        await admin.delete_topics([name])
        yield
        await admin.create_topics([NewTopic(name, 4, 1)])
        await admin.close()
        await stand.take_any_time()

    return fault


@asynccontextmanager
async def positions_are_reset(stand: Stand) -> AsyncIterator[None]:
    stand.scrape()
    await asyncio.to_thread(stand.stop)
    await stand.reset_positions(back=200)
    await asyncio.to_thread(stand.start)
    stand.scrape(stand.port)
    yield


@asynccontextmanager
async def stranger_joins(stand: Stand) -> AsyncIterator[None]:
    consumer = AIOKafkaConsumer(
        "drill.in", group_id="drill.work", bootstrap_servers=stand.kafka.bootstrap_servers
    )
    await consumer.start()
    yield
    await consumer.stop()


@asynccontextmanager
async def nothing(_: Stand) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def rolling_restart(stand: Stand) -> AsyncIterator[None]:
    """New workers come up beside the old ones, which then leave, as a platform has it."""
    before = stand.port
    await asyncio.to_thread(stand.start)
    stand.scrape(before, stand.port)
    await asyncio.sleep(SCRAPED_SECONDS)
    stand.scrape(stand.port)
    await asyncio.to_thread(stand.stop)
    yield


def _names(*names: str) -> frozenset[str]:
    return frozenset(names)


FAULTS: Mapping[str, Fault] = {
    "nothing: 1 % of bad records": Fault(nothing, least_seconds=60),
    "rolling restart": Fault(rolling_restart, least_seconds=60),
    "slow agent": Fault(
        feeding({"seconds": 0.4}, Feed(per_second=150)),
        "slow_agent",
        "SlowAgent",
        _names("LagGrowing"),
    ),
    "dependency down": Fault(doing(down=1), "dependency_down", "StageHeld"),
    "poison burst": Fault(doing(poison=30), "poison_burst", "PoisonBurst"),
    "worker killed": Fault(
        worker_is_killed,
        "worker_gone",
        "WorkerRestarts",
        _names("WorkerGone", "PartitionsMissing"),
    ),
    "hot key": Fault(
        feeding({"seconds": 0.05}, Feed(per_second=200, keys=1)),
        "hot_key",
        "HotKey",
        _names("SkewedPartition", "LagGrowing"),
    ),
    "output topic deleted": Fault(
        topic_is_deleted("drill.out"),
        "topic_missing",
        "TopicMissing",
        _names("BatchesRefused"),  # the first refusals come before the look at the topics
    ),
    "dead-letter topic deleted": Fault(
        topic_is_deleted("drill.work.dlq"),
        "topic_missing",
        "TopicMissing",
        _names("BatchesRefused"),
    ),
    "broker down for 70 s": Fault(
        broker_is_killed, "broker_unreachable", "BrokerUnreachable", least_seconds=70
    ),
    "positions reset": Fault(
        positions_are_reset,
        "positions_moved",
        "PositionsMoved",
    ),
    "clock 30 days behind": Fault(
        feeding({}, Feed(ahead_ms=-30 * DAY_MS)), "clock_skew", "ClockSkew"
    ),
    "clock 2 days ahead": Fault(feeding({}, Feed(ahead_ms=2 * DAY_MS)), "clock_skew", "ClockSkew"),
    "worker frozen": Fault(
        worker_is_frozen,
        "worker_silent",
        "WorkerFrozen",
        _names("WorkerGone", "PartitionsMissing"),
    ),
    "lag grows slowly": Fault(
        feeding({"seconds": 0.115}, Feed(per_second=180)),
        "lag_growing",
        "SlowAgent",
        _names("LagGrowing"),
    ),
    "stranger in the group": Fault(
        stranger_joins,
        "foreign_members",
        "ForeignMembers",
        _names("PositionsMoved", "PartitionsMissing"),  # it commits, and has some of them
    ),
    "agent blocks the loop": Fault(
        doing(block_seconds=4),
        "loop_blocked",
        "LoopBlocked",
        # While both workers are blocked, nobody answers.
        _names("WorkerFrozen", "WorkerGone", "PartitionsMissing", "PipelineAbsent"),
    ),
}
"""In an order in which few that make the group rebalance come within five minutes."""
