"""The two sides of the benchmark of waiting agents, on the same clients and the same records."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from benchmarks import agents
from benchmarks.hand_loop import OutputBatches, Timer
from benchmarks.measure import FETCH_MAX_WAIT_MS, MAX_BATCH_BYTES, MAX_FETCH_BYTES, Job, Meter
from benchmarks.metered_broker import MeteredBroker
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic

WAIT_SECONDS = 0.02
CONCURRENCY = 128
COMMIT_INTERVAL_SECONDS = 0.02
"""Instead of 1 s: the run ends with its last commit, and shall not end with a wait for it."""


class Watch:
    """When the agent was called first, and when each call ended, for whom; the meter of commits."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.began = 0.0
        self.ended: list[tuple[str, float]] = []

    async def price(self, purchase: agents.Purchase) -> agents.PricedPurchase:
        """What the agent of both sides does: wait, then compute."""
        self._begin()
        await asyncio.sleep(WAIT_SECONDS)
        return self._end(purchase)

    def price_blocking(self, purchase: agents.Purchase) -> agents.PricedPurchase:
        """The same in a thread."""
        self._begin()
        time.sleep(WAIT_SECONDS)
        return self._end(purchase)

    def _begin(self) -> None:
        if not self.began:
            self.began = time.monotonic()

    def _end(self, purchase: agents.Purchase) -> agents.PricedPurchase:
        priced = agents.price(purchase)
        self.ended.append((purchase.customer_id, time.monotonic()))
        return priced


async def run_stage(job: Job, watch: Watch) -> None:
    """streamapp: order by key, everything on that is on by default."""
    await _run(job, watch, agent(name="price")(watch.price))


async def run_blocking_stage(job: Job, watch: Watch) -> None:
    """The same with a blocking agent, in a pool of as many threads."""
    await _run(job, watch, agent(name="price", blocking=True)(watch.price_blocking))


async def _run(job: Job, watch: Watch, used: Agent[agents.Purchase, agents.PricedPurchase]) -> None:
    pipeline = (
        Pipeline(job.group, source=Topic(job.source, agents.Purchase))
        .stage(
            used,
            dead_letters=f"{job.output}.dlq",
            concurrency=CONCURRENCY,
        )
        .sink(Topic(job.output, agents.PricedPurchase))
    )
    service = Service(
        MeteredBroker(job.bootstrap_servers, watch.meter),
        [build(pipeline)],
        config=RuntimeConfig(commit_interval_seconds=COMMIT_INTERVAL_SECONDS),
    )
    await service.run(until_end=True)


async def run_semaphore(job: Job, watch: Watch) -> None:
    """A task for each record behind a semaphore: no order, and one commit at the end."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=job.bootstrap_servers,
        group_id=job.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        fetch_max_bytes=MAX_FETCH_BYTES,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=job.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        max_batch_size=MAX_BATCH_BYTES,
    )
    consumer.subscribe([job.source], listener=Timer(watch.meter))
    await producer.start()
    await consumer.start()
    try:
        outputs = OutputBatches(
            producer, job.output, len(await producer.partitions_for(job.output))
        )
        await _work(job, watch, consumer, outputs)
        await outputs.send()
        await consumer.commit()
        watch.meter.committed()
    finally:
        await consumer.stop()
        await producer.stop()


async def _work(job: Job, watch: Watch, consumer: Any, outputs: OutputBatches) -> None:
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(record: Any) -> None:
        try:
            priced = await watch.price(agents.validate(record.value))
            outputs.append(record.key, agents.encode(priced), record.timestamp)
        finally:
            slots.release()

    taken = 0
    async with asyncio.TaskGroup() as tasks:
        while taken < job.records:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                taken += len(records)
                for record in records:
                    await slots.acquire()
                    tasks.create_task(one(record))
