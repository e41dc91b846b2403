"""The lag of groups, read from Kafka alone: also of what nobody has read, or others have moved."""

from typing import Any

import pytest

from streamapp.brokers.protocols import CommittedOffset
from streamapp.pipeline.agent import agent
from streamapp.record import TopicPartition
from streamapp.runtime.group_lag import group_lags
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig
from tests.kafka import unique_name


@agent
async def same(item: Item) -> Item:
    return item


@pytest.fixture
async def rig(subject: Subject) -> Rig:
    """Ten records in the first of two partitions, which a stage has read."""
    rig = Rig(subject, unique_name("behind"))
    await rig.create(made(rig), partitions=2)
    await rig.put_items(range(10), partition=0)
    await rig.run_to_end(made(rig))
    return rig


def made(rig: Rig) -> Any:
    return rig.pipeline().stage(same).sink(rig.out)


async def test_partitions_without_an_offset_count_whole(rig: Rig) -> None:
    async with rig.subject.admin() as admin:
        await admin.add_partitions(f"{rig.name}.in", 4)
        await rig.put_items(range(5), partition=3)
        [found] = await group_lags(admin, rig.name)
    assert (found.partitions, found.never_read, found.behind) == (4, 1, 5)
    assert found.furthest == (3, 5)


async def test_a_group_that_another_program_has_moved_is_still_seen(rig: Rig) -> None:
    places = [TopicPartition(f"{rig.name}.in", i) for i in range(2)]
    async with rig.subject.admin() as admin:
        await admin.set_offsets(f"{rig.name}.same", {p: CommittedOffset(0) for p in places})
        [found] = await group_lags(admin, rig.name)
    assert (found.behind, found.never_read) == (10, 0)
