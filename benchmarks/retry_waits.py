"""What becomes of records when the waits between three retries are longer: on virtual time.

`python -m benchmarks.retry_waits`, three minutes; hardly anything differs from run to run. The real
runtime on the memory broker, with keys drawn evenly. `shard`: a tenth of the keys cannot be served
for a minute, through the world's fault, while all others can. `unknown`: one record in a hundred
fails always, with an error that nobody has declared. What follows is in docs/decisions/0039.
"""

import argparse
import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from statistics import quantiles

from benchmarks import virtual_loop
from benchmarks.tables import table
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import ProducerConfig, TopicSpec
from streamapp.observability.stage_metrics import DeadLetterReason, StageMetrics
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, retry, retry_later
from streamapp.service import Service
from streamapp.topics.topic import Topic

KEYS = 1000
PARTITIONS = 4
SECONDS = 150
DOWN = (30.0, 90.0)
"""When the shard is down."""

RATES = (20, 200, 2000)
WAITS: Mapping[str, Policy] = {
    "0.1, 0.2, 0.4 s (default)": retry(3),
    "0.1, 3.5, 120 s": retry(3, backoff=Backoff(base_seconds=0.1, factor=35, max_seconds=120)),
    "10, 40, 120 s": retry(3, backoff=Backoff(base_seconds=10, factor=4, max_seconds=120)),
    "default, then retry topics of 10 and 60 s": retry(3, then=retry_later([10, 60])),
}

Fails = Callable[[int, int, float], Exception | None]
"""Error of the n-th record, with this key, at a time in seconds since the start."""


def shard(_number: int, key: int, now: float) -> Exception | None:
    is_down = key < KEYS // 10 and DOWN[0] <= now < DOWN[1]
    return ConnectionError("the shard is down") if is_down else None


def unknown(number: int, _key: int, _now: float) -> Exception | None:
    return LookupError("nobody has thought of this") if number % 100 == 0 else None


FAULTS: Mapping[str, Fails] = {"shard": shard, "unknown": unknown}


def topology_of(
    fails: Fails, policy: Policy, ages: list[float], clock: virtual_loop.LoopClock
) -> Topology:
    """One stage, whose agent says how old a record is that succeeds."""

    @agent(name="call")
    async def call(value: bytes) -> bytes:
        await asyncio.sleep(0.001)
        number, key, sent = value.split()
        now = clock.monotonic()
        if (error := fails(int(number), int(key), now)) is not None:
            raise error
        ages.append(now - float(sent))
        return value

    source = Topic("in", bytes)
    return build(
        Pipeline("p", source=source).stage(call, on_error=policy, concurrency=64).sink("out")
    )


async def write(broker: MemoryBroker, rate: int) -> None:
    """Send what comes in a second, second by second."""
    rng, number = random.Random(1), 0
    producer = broker.producer(ProducerConfig())
    await producer.start()
    for second in range(SECONDS * 10):
        batches = [producer.create_batch() for _ in range(PARTITIONS)]
        for _ in range(rate // 10 or 1):
            key = rng.randrange(KEYS)
            value = b"%d %d %f" % (number, key, second / 10)
            batches[key % PARTITIONS].append(
                key=b"%d" % key, value=value, timestamp=None, headers=()
            )
            number += 1
        for partition, batch in enumerate(batches):
            if batch.record_count():
                await producer.send_batch(batch, "in", partition)
        await asyncio.sleep(0.1)
    await producer.stop()


async def played(fails: Fails, policy: Policy, rate: int) -> tuple[StageMetrics, list[float]]:
    """The counters and the ages when all is finished."""
    ages: list[float] = []
    clock = virtual_loop.LoopClock()
    broker = MemoryBroker(clock)
    topology = topology_of(fails, policy, ages, clock)
    await broker.admin().create_topics([TopicSpec(name, PARTITIONS) for name in topology.topics()])
    service = Service(broker, [topology], clock=clock, rng=random.Random(1))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(service.run())
        await write(broker, rate)
        [metrics] = service.metrics
        while metrics.lag_records != 0 or metrics.in_flight_records:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(1)
        service.stop()
        await running
    return metrics, ages


def row(fault: str, rate: int, waits: str) -> tuple[str, ...]:
    found: list[tuple[StageMetrics, list[float]]] = []

    async def work() -> None:
        found.append(await played(FAULTS[fault], WAITS[waits], rate))

    virtual_loop.run(work())
    [(metrics, ages)] = found
    letters = metrics.dead_letters
    total = metrics.processed + metrics.dead_lettered
    untried = letters[DeadLetterReason.BACKLOG]
    counts = (total, sum(letters.values()) - untried, untried)
    seconds = (quantiles(ages, n=100)[98], max(ages))
    told = (*(f"{one:,}" for one in counts), *(f"{one:.1f}" for one in seconds))
    return (fault, f"{rate:,}", waits, *told)


def rows(faults: Iterable[str], rates: Iterable[int]) -> list[tuple[str, ...]]:
    return [row(fault, rate, waits) for fault in faults for rate in rates for waits in WAITS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", nargs="*", type=int, default=RATES)
    parser.add_argument("--faults", nargs="*", default=list(FAULTS))
    arguments = parser.parse_args()
    head = (
        "fault",
        "records/s",
        "waits up to",
        "records",
        "dead letters",
        "backlog",
        "p99 age, s",
        "longest, s",
    )
    print(table(head, rows(arguments.faults, arguments.rates)))


if __name__ == "__main__":
    main()
