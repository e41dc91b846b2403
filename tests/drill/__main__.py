"""`python -m tests.drill`: injects the faults of a running pipeline, and sees that each is named.

Each fault has a minute to be named by `/status`, of which the page and the commands are made, and
three minutes after its repair until nothing is wrong. `--only NAME` runs one of them.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.cli import RunningCommand
from tests.drill.stand import Feed, Stand, children, stop_and_go
from tests.kafka import running_kafka

NAMED_SECONDS, CLEARED_SECONDS = 60.0, 180.0
LOOK_SECONDS = 0.5

Fault = Callable[[Stand, RunningCommand], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Row:
    """How a fault went.

    Attributes:
        name: what was done.
        expected: the cause that is to be named.
        named_seconds: how long it took; `None` if it was not named.
        cleared_seconds: how long it took after the repair until nothing was wrong.
        others: what else was named meanwhile.
    """

    name: str
    expected: str
    named_seconds: float | None
    cleared_seconds: float | None
    others: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether it was named, and cleared."""
        return self.named_seconds is not None and self.cleared_seconds is not None


def doing(**mode: float) -> Fault:
    """A fault of the agent."""

    @asynccontextmanager
    async def fault(stand: Stand, _: RunningCommand) -> AsyncIterator[None]:
        stand.mode(**mode)
        yield
        stand.mode()

    return fault


def feeding(mode: dict[str, float], feed: Feed) -> Fault:
    """A fault of the producer, with an agent that does this."""

    @asynccontextmanager
    async def fault(stand: Stand, _: RunningCommand) -> AsyncIterator[None]:
        stand.mode(**mode)
        stand.feed = feed
        yield
        stand.feed = Feed()
        stand.mode()

    return fault


@asynccontextmanager
async def broker_stands_still(stand: Stand, _: RunningCommand) -> AsyncIterator[None]:
    status = stand.kafka.broker.status()
    assert status is not None
    for pid in status.pids:
        stop_and_go(pid, stop=True)
    yield
    for pid in status.pids:
        stop_and_go(pid, stop=False)


@asynccontextmanager
async def worker_is_killed(_: Stand, command: RunningCommand) -> AsyncIterator[None]:
    os.kill(children(command.pid)[0], signal.SIGKILL)
    yield


@asynccontextmanager
async def worker_is_frozen(_: Stand, command: RunningCommand) -> AsyncIterator[None]:
    pid = children(command.pid)[0]
    stop_and_go(pid, stop=True)
    yield
    with suppress(ProcessLookupError):  # it was replaced meanwhile
        stop_and_go(pid, stop=False)


def topic_is_deleted(name: str) -> Fault:
    @asynccontextmanager
    async def fault(stand: Stand, _: RunningCommand) -> AsyncIterator[None]:
        admin = AIOKafkaAdminClient(bootstrap_servers=stand.kafka.bootstrap_servers)
        await admin.start()
        await admin.delete_topics([name])
        yield
        await admin.create_topics([NewTopic(name, 4, 1)])
        await admin.close()

    return fault


@asynccontextmanager
async def stranger_joins(stand: Stand, _: RunningCommand) -> AsyncIterator[None]:
    consumer = AIOKafkaConsumer(
        "drill.in", group_id="drill.work", bootstrap_servers=stand.kafka.bootstrap_servers
    )
    await consumer.start()
    yield
    await consumer.stop()


FAULTS: dict[str, tuple[str, Fault]] = {
    "slow agent": ("slow_agent", feeding({"seconds": 0.4}, Feed(per_second=150))),
    "agent blocks the loop": ("loop_blocked", doing(block_seconds=4)),
    "dependency down": ("dependency_down", doing(down=1)),
    "poison burst": ("poison_burst", doing(poison=30)),
    "broker does not answer": ("broker_unreachable", broker_stands_still),
    "worker killed": ("worker_gone", worker_is_killed),
    "worker frozen": ("worker_silent", worker_is_frozen),
    "hot key": ("hot_key", feeding({"seconds": 0.05}, Feed(per_second=200, keys=1))),
    "output topic deleted": ("topic_missing", topic_is_deleted("drill.out")),
    "dead-letter topic deleted": ("topic_missing", topic_is_deleted("drill.work.dlq")),
    "producer's clock 30 days behind": (
        "clock_skew",
        feeding({}, Feed(ahead_ms=-30 * 86_400_000)),
    ),
    "producer's clock ahead": ("clock_skew", feeding({}, Feed(ahead_ms=1_800_000))),
    "stranger in the group": ("foreign_members", stranger_joins),
    "lag grows slowly": ("lag_growing", feeding({"seconds": 0.115}, Feed(per_second=180))),
}


async def play(stand: Stand, command: RunningCommand, name: str) -> Row:
    """Inject a fault, wait until it is named, repair it, and wait until nothing is wrong."""
    expected, fault = FAULTS[name]
    seen: set[str] = set()
    async with fault(stand, command):
        named = await _until(stand, lambda causes: expected in causes, seen, NAMED_SECONDS)
    cleared = await _until(stand, lambda causes: not causes, set(), CLEARED_SECONDS)
    return Row(name, expected, named, cleared, tuple(sorted(seen - {expected})))


async def _until(
    stand: Stand, holds: Callable[[set[str]], bool], seen: set[str], seconds: float
) -> float | None:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        status = await asyncio.to_thread(stand.status)
        causes = stand.causes_in(status)
        seen |= causes
        if status and holds(causes):
            return time.monotonic() - began
        await asyncio.sleep(LOOK_SECONDS)
    return None


def _line(row: Row) -> str:
    named = "not named" if row.named_seconds is None else f"{row.named_seconds:.0f} s"
    cleared = "not cleared" if row.cleared_seconds is None else f"{row.cleared_seconds:.0f} s"
    others = ", ".join(row.others) or "-"
    return f"| {row.name} | `{row.expected}` | {named} | {cleared} | {others} |"


async def drill(names: list[str]) -> list[Row]:
    """Play these faults one after the other on one broker; prints a line for each."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, running_kafka(Path(folder) / "kafka") as kafka:
        stand = Stand(kafka, Path(folder))
        stand.prepare()
        _say("| fault | cause | named after | cleared after | also named |\n|---|---|---|---|---|")
        with stand.running() as command:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(stand.fed())
                quiet = await _until(stand, lambda causes: not causes, set(), NAMED_SECONDS)
                assert quiet is not None, stand.causes()
                for name in names:
                    rows.append(await play(stand, command, name))
                    _say(_line(rows[-1]))
    return rows


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the drill; 1 if a fault was not named or not cleared."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill")
    parser.add_argument("--only", action="append", choices=FAULTS)
    rows = asyncio.run(drill(parser.parse_args().only or list(FAULTS)))
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
