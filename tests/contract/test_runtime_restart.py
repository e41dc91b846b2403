"""What a restart, a rebalance or a replay works on again: only what is not finished."""

import asyncio
from collections import Counter

import pytest

from streamapp.brokers.protocols import CommittedOffset
from streamapp.errors import OffsetOutOfRangeError
from streamapp.pipeline.agent import agent
from streamapp.record import TopicPartition
from streamapp.runtime.config import RuntimeConfig
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.contract.pipelines import Item, Rig, eventually
from tests.kafka import unique_name
from tests.patience import within


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("restart"))


class Held:
    """An agent that keeps one record back until it is let go."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.gate = asyncio.Event()
        self.calls: Counter[int] = Counter()

    async def __call__(self, item: Item) -> Item:
        self.calls[item.n] += 1
        if item.n == self.number:
            await self.gate.wait()
        return item


async def test_a_restart_skips_what_was_finished_beyond_the_frontier(rig: Rig) -> None:
    held = Held(0)
    pipeline = rig.pipeline().stage(agent(held), name="hold", concurrency=4).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(50), keys=50)
    config = RuntimeConfig(commit_interval_seconds=0.05, shutdown_drain_seconds=0.1)
    async with rig.running(pipeline, config=config) as service:
        metrics = service.metrics[0]
        await eventually(lambda: metrics.records_out[rig.out] == 49)
    assert await rig.committed("hold") == {rig.first_partition(): 0}
    held.gate.set()
    await rig.run_to_end(pipeline)
    assert held.calls == {0: 2, **dict.fromkeys(range(1, 50), 1)}
    assert sorted(await rig.read_numbers(rig.out)) == list(range(50))
    assert await rig.committed("hold") == {rig.first_partition(): 50}


async def test_a_rebalance_skips_what_was_finished_beyond_the_frontier(rig: Rig) -> None:
    held = Held(0)
    pipeline = rig.pipeline().stage(agent(held), name="hold", concurrency=4).sink(rig.out)
    await rig.create(pipeline, partitions=2)
    await rig.put_items(range(50), keys=50)
    config = RuntimeConfig(commit_interval_seconds=0.05, revoke_drain_seconds=0.1)
    async with rig.running(pipeline, config=config) as first:
        await eventually(lambda: first.metrics[0].records_out[rig.out] == 49)
        async with rig.running(pipeline, config=config) as second:
            await eventually(lambda: len(second.metrics[0].partitions) == 1)
            held.gate.set()
            await eventually(
                lambda: sum(s.metrics[0].records_out[rig.out] for s in (first, second)) == 50
            )
    assert held.calls == {0: 2, **dict.fromkeys(range(1, 50), 1)}
    assert sorted(await rig.read_numbers(rig.out)) == list(range(50))


async def test_commits_go_by_count_before_the_interval_is_over(rig: Rig) -> None:
    @agent
    def same(item: Item) -> Item:
        return item

    pipeline = rig.pipeline().stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    config = RuntimeConfig(commit_interval_seconds=3600, commit_records=10)
    async with rig.running(pipeline, config=config) as service:
        await rig.put_items(range(9))
        await eventually(lambda: service.metrics[0].records_out[rig.out] == 9)
        assert service.metrics[0].commits == 0
        await rig.put_items(range(9, 20))
        await eventually(lambda: service.metrics[0].commits > 0)
    assert await rig.committed("same") == {rig.first_partition(): 20}


@pytest.mark.parametrize(("policy", "came"), [("earliest", [6, 7]), ("latest", [])])
async def test_a_position_lost_to_retention_follows_its_policy(
    rig: Rig, policy: str, came: list[int]
) -> None:
    @agent
    def same(item: Item) -> Item:
        return item

    pipeline = rig.pipeline().stage(same, on_lost_position=policy).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(3))
    await rig.run_to_end(pipeline)
    await rig.put_items(range(3, 8))
    async with rig.subject.admin() as admin:
        await admin.delete_records({rig.first_partition(): 6})
    async with rig.running(pipeline) as service:
        metrics = service.metrics[0]
        await eventually(lambda: metrics.position_resets == 1)
        await rig.put_items([8])
        await eventually(lambda: 8 in _written(service.metrics[0].records_out[rig.out], came))
    assert metrics.passed_over_offsets == (3 if policy == "earliest" else 5)
    assert await rig.read_numbers(rig.out) == [0, 1, 2, *came, 8]
    assert await rig.committed("same") == {TopicPartition(rig.source().name, 0): 9}


@pytest.mark.parametrize("policy", ["stop", "earliest", "latest"])
async def test_a_position_beyond_the_end_is_told_from_retention(rig: Rig, policy: str) -> None:
    @agent
    def same(item: Item) -> Item:
        return item

    pipeline = rig.pipeline().stage(same, on_lost_position=policy).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(3))
    async with rig.subject.admin() as admin:
        await admin.set_offsets(f"{rig.name}.same", {rig.first_partition(): CommittedOffset(8)})
    if policy != "latest":
        with pytest.raises(OffsetOutOfRangeError, match="beyond the end of the log"):
            async with within(PATIENCE_SECONDS, "the stage to end"):
                await rig.service(pipeline).run()
        assert await rig.read_numbers(rig.out) == []
        return
    async with rig.running(pipeline) as service:
        await eventually(lambda: service.metrics[0].position_resets == 1)
        await rig.put_items([3])
        await eventually(lambda: service.metrics[0].records_out[rig.out] == 1)
    assert await rig.read_numbers(rig.out) == [3]
    assert service.metrics[0].passed_over_offsets == 3


def _written(count: int, came: list[int]) -> list[int]:
    """The numbers that are out, told by how many they are."""
    return [*came, 8][:count]
