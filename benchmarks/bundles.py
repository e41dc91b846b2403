"""What a small pipeline costs a worker, with a consumer for each stage and in a bundle.

`python -m benchmarks.bundles [--counts N ...] [--stages N ...] [--apart-up-to N]`: start time,
sockets, memory and CPU time at rest and with a trickle of records, for workers with so many
pipelines. Every pipeline gets a record a second, and all have to come out at its end.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.bundle_worker import DEAD_LETTERS, Case
from benchmarks.child import child, cpu_seconds
from benchmarks.figures import write
from benchmarks.testbed import broker_status, machine
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin, Broker, ProducerConfig, TopicSpec
from streamapp.record import TopicPartition
from streamapp.settings import KafkaSettings

COUNTS = (1, 50, 150, 300, 450, 600)
STAGES = (1, 3)
APART_UP_TO = 450
"""Consumers of their own are not measured beyond: they fill the core."""

SETTLE_SECONDS = 6.0
IDLE_SECONDS = 10.0
TRICKLE_SECONDS = 10
PATIENCE_SECONDS = 240.0
TOPICS_AT_ONCE = 200


class Bench:
    """A broker, and the workers on it."""

    def __init__(self, broker: Broker, servers: str, admin: Admin) -> None:
        self._broker = broker
        self._servers = servers
        self._admin = admin
        self._runs = 0

    async def run(self, pipelines: int, stages: int, *, is_bundled: bool) -> dict[str, float]:
        """Figures of one worker, which has topics and groups of its own."""
        self._runs += 1
        name = f"small-{self._runs}"
        topics = [f"{name}-{i}.{end}" for i in range(pipelines) for end in range(stages + 1)]
        await self._create([*topics, *({DEAD_LETTERS} if self._runs == 1 else ())])
        with tempfile.TemporaryDirectory() as folder:
            ready = Path(folder) / "ready"
            case = Case(self._servers, name, pipelines, stages, is_bundled, str(ready))
            with child("bundle_worker", case) as worker:
                start_seconds = await _wait_for(ready)
                start_cpu_seconds = cpu_seconds(worker)
                await asyncio.sleep(SETTLE_SECONDS)
                idle = await self._share(worker, IDLE_SECONDS)
                sockets = len(worker.net_connections())
                rss_mb = worker.memory_info().rss / 2**20
                at_work, behind = await self._trickle(worker, case)
        for start in range(0, len(topics), TOPICS_AT_ONCE):
            await self._admin.delete_topics(topics[start : start + TOPICS_AT_ONCE])
        return {
            "start_seconds": start_seconds,
            "start_cpu_seconds": start_cpu_seconds,
            "sockets": sockets,
            "rss_mb": rss_mb,
            "idle_cpu_share": idle,
            "trickle_cpu_share": at_work,
            "seconds_behind": behind,
        }

    async def _create(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), TOPICS_AT_ONCE):
            some = names[start : start + TOPICS_AT_ONCE]
            await self._admin.create_topics([TopicSpec(name, 1) for name in some])

    async def _share(self, worker: psutil.Process, seconds: float) -> float:
        before, began = cpu_seconds(worker), time.monotonic()
        await asyncio.sleep(seconds)
        return (cpu_seconds(worker) - before) / (time.monotonic() - began)

    async def _trickle(self, worker: psutil.Process, case: Case) -> tuple[float, float]:
        """CPU share while every pipeline gets a record a second, and how long the last one took."""
        producer = self._broker.producer(ProducerConfig())
        await producer.start()
        share = asyncio.create_task(self._share(worker, TRICKLE_SECONDS))
        began, sent = time.monotonic(), []
        for second in range(TRICKLE_SECONDS):
            for number in range(case.pipelines):
                due = began + second + number / case.pipelines
                if (early := due - time.monotonic()) > 0:
                    await asyncio.sleep(early)
                batch = producer.create_batch()
                batch.append(timestamp=None, key=b"k", value=b'{"n":%d}' % second)
                sent.append(await producer.send_batch(batch, f"{case.name}-{number}.0", 0))
        await asyncio.gather(*sent)
        await producer.stop()  # it would go on asking for these topics when they are deleted
        all_sent, wanted = time.monotonic(), TRICKLE_SECONDS * case.pipelines
        cpu_share = await share
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._written(case) < wanted:  # noqa: ASYNC110 - no broker tells when
                await asyncio.sleep(0.1)
        return cpu_share, time.monotonic() - all_sent

    async def _written(self, case: Case) -> int:
        sinks = [TopicPartition(f"{case.name}-{i}.{case.stages}", 0) for i in range(case.pipelines)]
        return sum((await self._admin.end_offsets(sinks)).values())


async def _wait_for(ready: Path) -> float:
    """The start time that a worker writes down when it is ready."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (told := await asyncio.to_thread(_text_of, ready)):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.1)
    return float(told)


def _text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def measure(servers: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=servers))
    admin = broker.admin()
    await admin.start()
    bench, found = Bench(broker, servers, admin), []
    try:
        for stages in arguments.stages:
            for pipelines in arguments.counts:
                for is_bundled in (True, False):
                    if not is_bundled and pipelines * stages > arguments.apart_up_to:
                        continue
                    figures = await bench.run(pipelines, stages, is_bundled=is_bundled)
                    kind = "bundle" if is_bundled else "apart"
                    shown = ", ".join(f"{key} {value:,.4g}" for key, value in figures.items())
                    print(f"{pipelines} of {stages} {kind}: {shown}", flush=True)
                    found.append(
                        {"pipelines": pipelines, "stages": stages, "kind": kind, **figures}
                    )
    finally:
        await admin.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--stages", type=int, nargs="+", default=STAGES)
    parser.add_argument("--apart-up-to", type=int, default=APART_UP_TO)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/bundles.json")
    arguments = parser.parse_args()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    described = machine()
    with broker_status() as status:
        runs = asyncio.run(measure(status.state.bootstrap_servers, arguments))
    if arguments.keep:
        write("bundles", "python -m benchmarks.bundles", described, runs=runs)


if __name__ == "__main__":
    main()
