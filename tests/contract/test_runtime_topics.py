"""Topics that change while a pipeline runs: partitions are added, a topic is made anew."""

import pytest

from streamapp.brokers.partitioner import partition_for
from streamapp.brokers.protocols import TopicSpec
from streamapp.clock import SystemClock
from streamapp.observability.health import stage_health
from streamapp.pipeline.agent import agent
from streamapp.runtime.config import RuntimeConfig
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, eventually, numbers
from tests.kafka import unique_name

MINUTE_SECONDS = 60.0
WATCHED = RuntimeConfig(commit_interval_seconds=0.05, topic_check_interval_seconds=1)
UNWATCHED = RuntimeConfig(commit_interval_seconds=0.05, topic_check_interval_seconds=10_000)


@agent
def same(item: Item) -> Item:
    return item


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("topics"))


@pytest.mark.parametrize("config", [WATCHED, UNWATCHED], ids=["watched", "client alone"])
async def test_added_partitions_are_read_within_a_minute(rig: Rig, config: RuntimeConfig) -> None:
    pipeline = rig.pipeline().stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    async with rig.running(pipeline, config=config) as service:
        metrics = service.metrics[0]
        await eventually(lambda: len(metrics.partitions) == 1)
        async with rig.subject.admin() as admin:
            await admin.add_partitions(rig.source().name, 3)
        await rig.put_items([7], partition=2)
        await eventually(lambda: metrics.records_out[rig.out] == 1, seconds=MINUTE_SECONDS)
        assert len(metrics.partitions) == 3
        await eventually(lambda: not metrics.topic_faults)
    assert await rig.read_numbers(rig.out) == [7]


@pytest.mark.parametrize("config", [WATCHED, UNWATCHED], ids=["watched", "client alone"])
async def test_a_topic_that_is_made_anew_is_read_within_a_minute(
    rig: Rig, config: RuntimeConfig
) -> None:
    pipeline = rig.pipeline().stage(same).sink(rig.out)
    source = rig.source().name
    await rig.create(pipeline, partitions=1)
    async with rig.running(pipeline, config=config) as service:
        metrics = service.metrics[0]
        await rig.put_items([1])
        await eventually(lambda: metrics.records_out[rig.out] == 1)
        await eventually(lambda: [p.lag_records for p in metrics.partitions.values()] == [0])
        async with rig.subject.admin() as admin:
            await admin.delete_topics([source])
            await eventually(lambda: 0 not in [p.lag_records for p in metrics.partitions.values()])
            if config is WATCHED:
                await eventually(lambda: source in metrics.topic_faults)
            await eventually(lambda: not metrics.partitions, seconds=MINUTE_SECONDS)
            await admin.create_topics([TopicSpec(source, 2)])
        await rig.put_items([2], partition=1)
        await eventually(lambda: metrics.records_out[rig.out] == 2, seconds=MINUTE_SECONDS)
        await eventually(lambda: [p.lag_records for p in metrics.partitions.values()] == [0, 0])
        assert stage_health(metrics, SystemClock().monotonic(), 1.0).ok
    assert await rig.read_numbers(rig.out) == [1, 2]


async def test_partitions_added_to_an_output_topic_are_used_without_a_replay(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=2)
    async with (
        rig.running(pipeline, config=WATCHED) as one,
        rig.running(pipeline, config=WATCHED) as two,
    ):
        metrics = [service.metrics[0] for service in (one, two)]
        await eventually(lambda: [len(own.partitions) for own in metrics] == [1, 1])
        await rig.put_items(range(40), keys=40)
        await eventually(lambda: sum(own.records_out[rig.out] for own in metrics) == 40)
        rebalances = metrics[0].rebalances
        async with rig.subject.admin() as admin:
            await admin.add_partitions(rig.out, 5)
        await eventually(lambda: metrics[0].rebalances > rebalances, seconds=MINUTE_SECONDS)
        await eventually(lambda: [len(own.partitions) for own in metrics] == [1, 1])
        await rig.put_items(range(100, 140), keys=40)
        await eventually(lambda: sum(own.records_out[rig.out] for own in metrics) == 80)
        assert sum(own.producer_replacements for own in metrics) == 0
        assert not any(own.topic_faults for own in metrics)
    for place, records in (await rig.read_places(rig.out)).items():
        for record, n in zip(records, numbers(records), strict=True):
            assert partition_for(record.key or b"", 2 if n < 100 else 5) == place.partition
