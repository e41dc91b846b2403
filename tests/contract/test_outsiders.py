"""What others do to the group of a stage is told: strangers that read, and moved positions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from streamapp.brokers.protocols import CommittedOffset, ConsumerConfig
from streamapp.clock import SystemClock
from streamapp.observability.causes import Cause
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.observability.verdict import verdict_of
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from tests.contract.harness import Subject
from tests.contract.pipelines import QUICK, Item, Rig, eventually
from tests.kafka import unique_name

LOOKING = replace(QUICK, group_check_interval_seconds=0.5)


@agent
def same(item: Item) -> Item:
    return item


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("outsiders"))


def one_stage(rig: Rig) -> Pipeline[Any, Any]:
    return rig.pipeline().stage(same).sink(rig.out)


def causes(metrics: StageMetrics) -> set[Cause]:
    return {one.cause for one in verdict_of(metrics, SystemClock().monotonic(), 60).findings}


def are(metrics: StageMetrics, *expected: Cause) -> Callable[[], bool]:
    return lambda: causes(metrics) == set(expected)


async def test_a_stranger_in_the_group_is_named_with_what_it_has(rig: Rig) -> None:
    pipeline = one_stage(rig)
    await rig.create(pipeline, partitions=4)
    group, source = f"{rig.name}.same", rig.source().name
    async with rig.running(pipeline, config=LOOKING) as one:
        metrics = one.metrics[0]
        await eventually(lambda: len(metrics.partitions) == 4)
        stranger = ConsumerConfig(group, (source,), client_id="report")
        async with rig.subject.member(stranger):
            await eventually(are(metrics, Cause.FOREIGN_MEMBERS))
            await eventually(lambda: "; 2 of 4 partitions" in str(metrics.foreign_members))
            assert metrics.foreign_members is not None
            assert f"1 of 2 members of group {group} are no workers: client 'report'" in (
                metrics.foreign_members.told
            )
            assert metrics.group_members == 2
        await eventually(are(metrics))


async def two_workers_see_nothing(rig: Rig, pipeline: Pipeline[Any, Any]) -> None:
    async with (
        rig.running(pipeline, config=LOOKING) as one,
        rig.running(pipeline, config=LOOKING) as two,
    ):
        both = [service.metrics[0] for service in (one, two)]
        await eventually(lambda: [len(own.partitions) for own in both] == [1, 1])
        await eventually(lambda: all(own.lag_records == 0 for own in both))
        assert [causes(own) for own in both] == [set(), set()]
        assert [own.foreign_members for own in both] == [None, None]


async def test_workers_of_the_same_pipeline_are_no_strangers_and_move_nothing(rig: Rig) -> None:
    pipeline = one_stage(rig)
    await rig.create(pipeline, partitions=2)
    for numbers in (range(5), range(5, 9)):
        await rig.put_items(numbers)
        await two_workers_see_nothing(rig, pipeline)


async def test_positions_that_were_moved_from_outside_are_told(rig: Rig) -> None:
    pipeline = one_stage(rig)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(9))
    await rig.run_to_end(pipeline)
    place = rig.first_partition()
    async with rig.subject.admin() as admin:
        await admin.set_offsets(f"{rig.name}.same", {place: CommittedOffset(2)})
    async with rig.running(pipeline) as one:
        metrics = one.metrics[0]
        await eventually(are(metrics, Cause.POSITIONS_MOVED))
        assert metrics.positions_moved is not None
        assert metrics.positions_moved.told.endswith(f"{place.topic}[0] at 2")
