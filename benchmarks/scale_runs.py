"""The runs of the benchmark of scale: workers, lag, partitions; on one broker."""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

from benchmarks import check, load
from benchmarks.child import FailedRunError, child, cpu_seconds, peak_rss_mb
from benchmarks.contenders import Contender
from benchmarks.measure import PARTITIONS, Job
from benchmarks.rounds import WrongOutputError, run_child
from streamapp.brokers.protocols import Admin, TopicSpec
from streamapp.local_kafka.broker import BrokerStatus

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 300
WINDOW = (0.3, 0.8)
"""Shares of the records between which throughput is taken: all have started and none is done."""

SETTLE_SECONDS = 5.0
IDLE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement of a run: time, committed records, resources used."""

    at: float
    committed: int
    worker_cpu: tuple[float, ...]
    broker_cpu: float


class ScaleBench:
    """A broker, and the runs on it."""

    def __init__(self, status: BrokerStatus, admin: Admin) -> None:
        self._servers = status.state.bootstrap_servers
        self._brokers = [psutil.Process(pid) for pid in status.pids]
        self._admin = admin
        self._runs = 0

    async def fill(self, topic: str, records: int, partitions: int = PARTITIONS) -> None:
        """Make a topic and fill it."""
        await self._admin.create_topics([TopicSpec(topic, partitions)])
        values = load.purchases_again_and_again(records)
        await load.fill(self._servers, topic, values, partitions)

    async def throughput(self, source: str, records: int, workers: int) -> dict[str, float]:
        """Throughput of this number of workers in one group, while all of them work."""
        job = await self._job(source, records, PARTITIONS)
        with ExitStack() as running:
            processes = [running.enter_context(child("scale_worker", job)) for _ in range(workers)]
            first = await self._reach(job, processes, WINDOW[0] * records)
            last = await self._reach(job, processes, WINDOW[1] * records)
            await self._reach(job, processes, records)
        written = await check.count(self._servers, [job.output], PARTITIONS)
        if written < records:
            raise WrongOutputError(f"{workers} workers: {written} of {records} records")
        await self._remove(job)
        worker_cpu = [b - a for a, b in zip(first.worker_cpu, last.worker_cpu, strict=True)]
        if min(worker_cpu) < 0.1 * max(worker_cpu):
            raise FailedRunError(f"one of {workers} workers had nothing to do: {worker_cpu}")
        done, seconds = last.committed - first.committed, last.at - first.at
        return {
            "records_per_second": done / seconds,
            "worker_us_per_record": sum(worker_cpu) / done * 1e6,
            "broker_us_per_record": (last.broker_cpu - first.broker_cpu) / done * 1e6,
            "repeated": written - records,
        }

    async def memory(self, source: str, records: int, seconds: float) -> dict[str, float]:
        """Peak memory of a worker that works on this lag for some seconds."""
        job = await self._job(source, records, PARTITIONS)
        with child("scale_worker", job) as worker:
            await self._reach(job, [worker], 1)
            await asyncio.sleep(seconds)
            peak = peak_rss_mb(worker.pid)
            done = (await self._look(job, [worker])).committed
        await self._remove(job)
        return {"peak_rss_mb": peak, "records": done}

    async def per_partition(self, source: str, records: int, partitions: int) -> dict[str, float]:
        """Cost of partitions for a worker: for each record, and at rest."""
        job = await self._job(source, records, partitions)
        contender = Contender(name="scale", module="streamapp_stage", partitions=partitions)
        cost = await asyncio.to_thread(run_child, contender, job)
        with child("scale_worker", job) as worker:  # its group has committed everything
            await asyncio.sleep(SETTLE_SECONDS)
            before = cpu_seconds(worker)
            await asyncio.sleep(IDLE_SECONDS)
            idle = (cpu_seconds(worker) - before) / IDLE_SECONDS
        await self._remove(job)
        return {
            "worker_us_per_record": cost.cpu_seconds / records * 1e6,
            "records_per_second": records / cost.wall_seconds,
            "idle_cpu_share": idle,
            "peak_rss_mb": cost.peak_rss_mb,
        }

    async def _job(self, source: str, records: int, partitions: int) -> Job:
        self._runs += 1
        name = f"scale-{self._runs}"
        job = Job(self._servers, source, f"{name}.out", name, "sync", records)
        topics = [TopicSpec(topic, partitions) for topic in _written(job)]
        await self._admin.create_topics(topics)
        return job

    async def _remove(self, job: Job) -> None:
        await self._admin.delete_topics(_written(job))

    async def _look(self, job: Job, workers: list[psutil.Process]) -> Reading:
        offsets = await self._admin.committed_offsets(f"{job.group}.price")
        return Reading(
            time.monotonic(),
            sum(one.offset for one in offsets.values()),
            tuple(cpu_seconds(worker) for worker in workers),
            sum(cpu_seconds(broker) for broker in self._brokers),
        )

    async def _reach(self, job: Job, workers: list[psutil.Process], records: float) -> Reading:
        """The first measurement at which this many records are committed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                reading = await self._look(job, workers)
                if reading.committed >= records:
                    return reading
                await asyncio.sleep(POLL_SECONDS)


def _written(job: Job) -> list[str]:
    return [job.output, f"{job.output}.dlq"]
