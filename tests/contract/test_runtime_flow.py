"""Order, bounds, drains and rebalances on a broker."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from streamapp.pipeline.agent import agent
from streamapp.runtime.config import RuntimeConfig
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, eventually
from tests.kafka import unique_name


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("run"))


class Gauge:
    """An agent that knows how many of its calls run at once, by key."""

    def __init__(self) -> None:
        self.running: Counter[int] = Counter()
        self.most_for_a_key = 0
        self.most = 0
        self.keys = 3

    async def __call__(self, item: Item) -> Item:
        key = item.n % self.keys
        self.running[key] += 1
        self.most = max(self.most, self.running.total())
        self.most_for_a_key = max(self.most_for_a_key, self.running[key])
        for _ in range(item.n % 7):
            await asyncio.sleep(0)
        self.running[key] -= 1
        return item


@pytest.mark.parametrize(
    ("ordering", "most", "most_for_a_key"),
    [("key", range(2, 4), range(1, 2)), ("partition", range(1, 2), range(1, 2))],
)
async def test_ordering_says_what_runs_side_by_side(
    rig: Rig, ordering: str, most: range, most_for_a_key: range
) -> None:
    gauge = Gauge()
    pipeline = rig.pipeline().stage(agent(gauge), ordering=ordering).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(60), keys=gauge.keys)
    await rig.run_to_end(pipeline)
    came = await rig.read_numbers(rig.out)
    for key in range(gauge.keys):
        assert [n for n in came if n % 3 == key] == list(range(key, 60, 3))
    assert gauge.most in most
    assert gauge.most_for_a_key in most_for_a_key


async def test_unordered_records_of_one_key_run_side_by_side(rig: Rig) -> None:
    gauge = Gauge()
    gauge.keys = 1
    pipeline = rig.pipeline().stage(agent(gauge), ordering="unordered", concurrency=8)
    pipeline = pipeline.sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(60), keys=1)
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == list(range(60))
    assert gauge.most_for_a_key in range(2, 9)


async def test_no_more_is_taken_than_the_bound_allows(rig: Rig) -> None:
    gate = asyncio.Event()
    unfinished: list[int] = []

    @agent
    async def gated(item: Item) -> Item:
        await gate.wait()
        unfinished.append(metrics.records_in - len(unfinished))
        return item

    pipeline = rig.pipeline().stage(gated, max_in_flight_records=10, concurrency=4).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(100))
    async with rig.running(pipeline) as service:
        metrics = service.metrics[0]
        await eventually(lambda: metrics.busy_lanes == 4)
        gate.set()
        await eventually(lambda: metrics.records_out[rig.out] == 100)
    assert 4 <= max(unfinished) <= 10
    assert sorted(await rig.read_numbers(rig.out)) == list(range(100))


async def test_a_drain_finishes_what_runs_and_nothing_is_delivered_twice(rig: Rig) -> None:
    started = asyncio.Event()
    calls: Counter[int] = Counter()

    @agent
    async def slow(item: Item) -> Item:
        calls[item.n] += 1
        started.set()
        await asyncio.sleep(0.05)
        return item

    pipeline = rig.pipeline().stage(slow, concurrency=4).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(40), keys=40)
    async with rig.running(pipeline):
        await started.wait()
    half_way = sum(calls.values())
    assert 0 < half_way < 40  # the drain came before the work was done
    assert sorted(await rig.read_numbers(rig.out)) == sorted(calls)
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == list(range(40))
    assert set(calls.values()) == {1}


async def test_work_that_does_not_end_in_time_is_delivered_again(rig: Rig) -> None:
    calls: Counter[int] = Counter()
    entered = asyncio.Event()

    @agent
    async def stuck_once(item: Item) -> Item:
        calls[item.n] += 1
        if item.n == 1 and calls[1] == 1:
            entered.set()
            await asyncio.Event().wait()
        return item

    pipeline = rig.pipeline().stage(stuck_once).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(4), keys=4)
    hasty = RuntimeConfig(commit_interval_seconds=0.05, shutdown_drain_seconds=0.1)
    service = rig.service(pipeline, config=hasty)
    task = asyncio.create_task(service.run())
    await entered.wait()
    await eventually(lambda: service.metrics[0].processed == 3)
    service.stop()
    await task
    assert list((await rig.committed("stuck-once")).values()) == [1]
    await rig.run_to_end(pipeline)
    came = await rig.read_numbers(rig.out)
    assert set(came) == {0, 1, 2, 3}
    assert came.count(1) == 1


@asynccontextmanager
async def fed(rig: Rig, partitions: int) -> AsyncIterator[list[int]]:
    """Write to all partitions in turn while the block runs; gives the numbers so far.

    So there is work whenever workers come and go, however long a rebalance takes.
    """
    written: list[int] = []
    enough = asyncio.Event()

    async def feed() -> None:
        for part in count():
            if enough.is_set():  # a client that is cancelled may leave a connection behind
                return
            numbers = range(part * 20, part * 20 + 20)
            await rig.put_items(numbers, keys=10, partition=part % partitions)
            written.extend(numbers)

    feeding = asyncio.create_task(feed())
    try:
        yield written
    finally:
        enough.set()
        await feeding


async def test_two_workers_share_and_a_clean_handover_repeats_nothing(rig: Rig) -> None:
    calls: list[int] = []

    @agent
    async def note(item: Item) -> Item:
        await asyncio.sleep(0.001)
        calls.append(item.n)
        return item

    pipeline = rig.pipeline().stage(note, concurrency=4).sink(rig.out)
    await rig.create(pipeline, partitions=4)
    async with rig.running(pipeline) as first:
        async with fed(rig, 4) as written:
            await eventually(lambda: first.metrics[0].processed > 0)
            async with rig.running(pipeline) as second:
                await eventually(lambda: second.metrics[0].processed > 0)
                await eventually(lambda: len(first.metrics[0].partitions) == 2)
            left = len(calls)
            await eventually(lambda: len(calls) > left)
        await eventually(lambda: len(calls) >= len(written))
    assert sorted(calls) == written
    assert sorted(await rig.read_numbers(rig.out)) == written


async def test_records_that_come_before_their_partition_is_open_are_not_lost(rig: Rig) -> None:
    """Many rebalances while records flow: what is delivered too early is asked for again."""

    @agent
    async def same(item: Item) -> Item:
        await asyncio.sleep(0)
        return item

    pipeline = rig.pipeline().stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=4)
    async with rig.running(pipeline), fed(rig, 4) as written:
        for _ in range(3):
            async with rig.running(pipeline) as other:
                await eventually(lambda: other.metrics[0].processed > 0)
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == written
