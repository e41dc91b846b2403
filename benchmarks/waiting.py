"""Agents that wait: how near 128 in flight come to waiting only, order by key kept.

`python -m benchmarks.waiting [--runs N]`: 4,000 records of 5,000 keys, 20 ms of waiting each, so
0.625 s if nothing else took time; then the same with one key that holds a tenth of the records,
which takes 8 s by itself and must not hold up the others. Beside each run stands a hand-written
loop with a semaphore, which keeps no order; and what the waits alone take of asyncio, with no Kafka
and no work, since its timers are late by a millisecond or so.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import check, load
from benchmarks.figures import cell, spread, write
from benchmarks.measure import PARTITIONS, Job
from benchmarks.rounds import WrongOutputError
from benchmarks.testbed import broker, machine
from benchmarks.waiting_sides import (
    CONCURRENCY,
    WAIT_SECONDS,
    Watch,
    run_blocking_stage,
    run_semaphore,
    run_stage,
)
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin, TopicSpec
from streamapp.settings import KafkaSettings

RECORDS = 4_000
HOT_EVERY = 10
BARE = "asyncio alone"
IDEAL_SECONDS = RECORDS * WAIT_SECONDS / CONCURRENCY


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the comparison, on one of the two sources."""

    name: str
    run: Callable[[Job, Watch], Awaitable[None]]
    hot_every: int
    keeps_order: bool

    @property
    def source(self) -> str:
        """The topic that it reads."""
        return f"source.hot_every_{self.hot_every}"


SIDES = (
    Side("streamapp", run_stage, 0, keeps_order=True),
    Side("semaphore loop", run_semaphore, 0, keeps_order=False),
    Side("streamapp, blocking", run_blocking_stage, 0, keeps_order=True),
    Side("streamapp, one hot key", run_stage, HOT_EVERY, keeps_order=True),
    Side("semaphore loop, one hot key", run_semaphore, HOT_EVERY, keeps_order=False),
)


async def run_bare() -> float:
    """Seconds that the waits alone take, with this many at once."""
    left = iter(range(RECORDS))

    async def lane() -> None:
        for _ in left:
            await asyncio.sleep(WAIT_SECONDS)

    began = time.monotonic()
    await asyncio.gather(*(lane() for _ in range(CONCURRENCY)))
    return time.monotonic() - began


class Bench:
    """A broker with two filled topics, and the runs on it."""

    def __init__(self, servers: str, admin: Admin) -> None:
        self._servers = servers
        self._admin = admin
        self._runs = 0

    async def fill(self) -> None:
        """Fill the source topics."""
        for hot_every in (0, HOT_EVERY):
            topic = f"source.hot_every_{hot_every}"
            await self._admin.create_topics([TopicSpec(topic, PARTITIONS)])
            await load.fill(self._servers, topic, load.purchases(RECORDS, hot_every=hot_every))

    async def run(self, side: Side) -> Watch:
        """Run a side once, and look at its outputs."""
        self._runs += 1
        group = f"waiting-{self._runs}"
        job = Job(self._servers, side.source, f"{group}.out", group, "async", RECORDS)
        names = (job.output, f"{job.output}.dlq")
        await self._admin.create_topics([TopicSpec(name, PARTITIONS) for name in names])
        watch = Watch()
        await side.run(job, watch)
        found = await check.check_purchases(self._servers, job.output, RECORDS, PARTITIONS)
        if not side.keeps_order:
            found.disordered = 0
        if told := str(found):
            raise WrongOutputError(f"{side.name}: {told}")
        return watch


def figures_of(watch: Watch) -> dict[str, float]:
    """Seconds of one run."""
    hot = f"customer-{0:05d}"
    others = [at for customer, at in watch.ended if customer != hot]
    work_seconds = max(at for _, at in watch.ended) - watch.began
    return {
        "work_seconds": work_seconds,
        "share_of_ideal": IDEAL_SECONDS / work_seconds,
        "others_seconds": max(others) - watch.began,
        "committed_seconds": watch.meter.result().wall_seconds,
        "share_of_ideal_with_commit": IDEAL_SECONDS / watch.meter.result().wall_seconds,
    }


async def measure(servers: str, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Take turns, after one round to warm up."""
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=servers)).admin()
    await admin.start()
    found: dict[str, list[dict[str, float]]] = {BARE: [], **{side.name: [] for side in SIDES}}

    def take(name: str, figures: dict[str, float]) -> None:
        shown = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
        print(f"{name}: {shown}", flush=True)
        found[name].append(figures)

    try:
        bench = Bench(servers, admin)
        await bench.fill()
        for _ in range(rounds + 1):
            seconds = await run_bare()
            take(BARE, {"work_seconds": seconds, "share_of_ideal": IDEAL_SECONDS / seconds})
            for side in SIDES:
                take(side.name, figures_of(await bench.run(side)))
    finally:
        await admin.stop()
    return {name: runs[1:] for name, runs in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="after one to warm up")
    arguments = parser.parse_args()
    described = machine()
    with broker() as servers:
        runs = asyncio.run(measure(servers, arguments.runs))
    sides: dict[str, Any] = {
        name: {key: spread([run[key] for run in own]) for key in own[0]}
        for name, own in runs.items()
    }
    for name, figures in sides.items():
        print(f"{name:30}", *(f"{key} {cell(own, '.3f')}" for key, own in figures.items()))
    command = "python -m benchmarks.waiting"
    write("waiting", command, described, ideal_seconds=IDEAL_SECONDS, sides=sides, runs=runs)


if __name__ == "__main__":
    main()
