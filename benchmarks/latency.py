"""Latency at a steady pace: from a record's due time to its arrival at a plain consumer.

`python -m benchmarks.latency [--runs N] [--rate N] [--seconds N] [--stages N ...]`: 10,000 records
a second, through no stage, one and four, of streamapp (with native leaves and with
their twins in Python) and of hand-written loops, in turns. Source,
service, broker and reader are four processes on one machine.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.child import FailedRunError, child, cpu_seconds
from benchmarks.contenders import PYTHON_LEAVES
from benchmarks.figures import cell, spread, write
from benchmarks.latency_source import Pace
from benchmarks.latency_worker import Course
from benchmarks.measure import PARTITIONS
from benchmarks.rounds import WrongOutputError
from benchmarks.testbed import broker, machine
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin, TopicSpec
from streamapp.settings import KafkaSettings

START_SECONDS = 3
"""What a service has to start in, before the first record."""

WARM_UP_SECONDS = 4
PATIENCE_SECONDS = 30
STAGES = (1, 4)
TARGET = 1.0
SIDES = ("hand_loop", "streamapp", "streamapp_twin")
VARIABLES = {"streamapp_twin": PYTHON_LEAVES}


async def read(course: Course, since_ms: int, records: int, seconds: float) -> list[float]:
    """Milliseconds that records due since then have taken; ends when all records are there."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=course.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        topic = course.topics[-1]
        consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
        found: list[float] = []
        seen = 0
        async with asyncio.timeout(seconds + PATIENCE_SECONDS):
            while seen < records:
                fetched = await consumer.getmany(timeout_ms=1000)
                now_ms = time.time() * 1000
                for own in fetched.values():
                    seen += len(own)
                    found += [now_ms - one.timestamp for one in own if one.timestamp >= since_ms]
    except TimeoutError:
        raise FailedRunError(f"{course.name}: {seen} of {records} records came in time") from None
    finally:
        await consumer.stop()
    if seen > records:
        raise WrongOutputError(f"{course.name}: {seen} records came, {records} were sent")
    return found


def figures_of(latencies_ms: list[float], cpu_seconds: float) -> dict[str, float]:
    """What a run shows."""
    ordered = sorted(latencies_ms)
    share = {
        f"p{percent:g}_ms": ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
        for percent in (50, 99, 99.9)
    }
    return {**share, "max_ms": ordered[-1], "cpu_seconds": cpu_seconds}


class Bench:
    """A broker, and the runs on it at one pace."""

    def __init__(self, servers: str, admin: Admin, rate: int, seconds: float) -> None:
        self._servers = servers
        self._admin = admin
        self._rate = rate
        self._seconds = seconds
        self._runs = 0

    async def run(self, side: str, stages: int) -> dict[str, float]:
        """Run a side once, with topics and groups of its own."""
        self._runs += 1
        course = Course(self._servers, side, f"latency-{self._runs}", stages)
        names = [*course.topics, *course.dead_letters]
        await self._admin.create_topics([TopicSpec(name, PARTITIONS) for name in names])
        begin = time.time() + START_SECONDS
        since_ms = int((begin + WARM_UP_SECONDS) * 1000)
        lasting = WARM_UP_SECONDS + self._seconds
        pace = Pace(self._servers, course.topics[0], self._rate, begin, lasting)
        awaited = (course, since_ms, int(self._rate * lasting), START_SECONDS + lasting)
        with child("latency_source", pace):
            if stages == 0:
                found, spent = await read(*awaited), 0.0
            else:
                with child("latency_worker", course, VARIABLES.get(side)) as worker:
                    found = await read(*awaited)
                    spent = cpu_seconds(worker)
        await self._admin.delete_topics(names)
        return figures_of(found, spent)


async def measure(servers: str, arguments: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Take turns; each run has its own warm-up."""
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=servers)).admin()
    await admin.start()
    found: dict[str, list[dict[str, float]]] = {}
    try:
        bench = Bench(servers, admin, arguments.rate, arguments.seconds)
        sides = [("source", 0)]
        sides += [(side, n) for n in arguments.stages for side in SIDES]
        for round_number in range(1, arguments.runs + 1):
            for side, stages in sides:
                figures = await bench.run(side, stages)
                shown = ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
                print(f"run {round_number}  {side}.{stages}: {shown}", flush=True)
                found.setdefault(f"{side}.{stages}", []).append(figures)
    finally:
        await admin.stop()
    return found


def ratios(
    runs: dict[str, list[dict[str, float]]], numbers: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Figures of streamapp as multiples of the loops' of the same round."""
    found = {}
    for stages in numbers:
        pairs = list(zip(runs[f"streamapp.{stages}"], runs[f"hand_loop.{stages}"], strict=True))
        for key in ("p50_ms", "p99_ms", "cpu_seconds"):
            found[f"{key}.{stages}"] = spread([own[key] / other[key] for own, other in pairs])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=int, default=10_000, help="records a second")
    parser.add_argument("--seconds", type=float, default=20, help="after a warm-up")
    parser.add_argument("--stages", type=int, nargs="+", default=list(STAGES))
    parser.add_argument("--look", action="store_true", help="keep nothing")
    arguments = parser.parse_args()
    described = machine()
    with broker() as servers:
        runs = asyncio.run(measure(servers, arguments))
    sides = {
        name: {key: spread([run[key] for run in own]) for key in own[0]}
        for name, own in runs.items()
    }
    to_loop = ratios(runs, arguments.stages)
    for name, figures in to_loop.items():
        print(f"streamapp to hand-written loops, {name}: {cell(figures, '.2f')}")
    if arguments.look:
        return
    settings = {"rate": arguments.rate, "seconds": arguments.seconds, "target": TARGET}
    measured = {"settings": settings, "sides": sides, "ratio_to_hand_loop": to_loop, "runs": runs}
    write("latency", "python -m benchmarks.latency", described, **measured)


if __name__ == "__main__":
    main()
