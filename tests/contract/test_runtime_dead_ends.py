"""Where nothing more can be read, the stage ends after all that stands before."""

import asyncio

import pytest

from streamapp.brokers.protocols import CommittedOffset
from streamapp.errors import OffsetOutOfRangeError, UnreadableRecordError
from streamapp.pipeline.agent import agent
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.contract.pipelines import Item, Rig, eventually
from tests.kafka import unique_name
from tests.patience import within


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("dead-end"))


class Gated:
    """An agent that works on nothing until it is let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun: list[int] = []

    async def __call__(self, item: Item) -> Item:
        self.begun.append(item.n)
        await self.gate.wait()
        return item


async def test_the_way_past_an_unreadable_record_that_is_told_loses_no_record(rig: Rig) -> None:
    gated = Gated()
    pipeline = rig.pipeline().stage(agent(gated), name="slow").sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(10), keys=10)
    await rig.subject.put_unreadable(rig.first_partition())
    await rig.put_items([10])
    stage = rig.service(pipeline)
    ending = asyncio.create_task(stage.run())
    await eventually(lambda: len(gated.begun) == 10)
    await eventually(lambda: stage.metrics[0].partitions[rig.first_partition()].blocked)
    gated.gate.set()
    with pytest.raises(UnreadableRecordError, match="set its offset to 11"):
        async with within(PATIENCE_SECONDS, "the stage to end"):
            await ending
    assert await rig.committed("slow") == {rig.first_partition(): 10}
    async with rig.subject.admin() as admin:
        past = {rig.first_partition(): CommittedOffset(11)}
        await admin.set_offsets(f"{rig.name}.slow", past)
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == list(range(11))


async def test_what_was_read_before_the_position_was_lost_is_finished(rig: Rig) -> None:
    gated = Gated()
    stage_of = rig.pipeline().stage
    pipeline = stage_of(
        agent(gated), name="slow", max_in_flight_records=10, max_in_flight_bytes=16 * 1024
    ).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    stage = rig.service(pipeline)
    ending = asyncio.create_task(stage.run())
    await rig.put_items(range(10), keys=10)
    await eventually(lambda: len(gated.begun) == 10)
    for n in range(10, 20):
        await rig.put_items([n], text="x" * 20_000)  # the client prefetches no more than one
    async with rig.subject.admin() as admin:
        await admin.delete_records({rig.first_partition(): 15})
    gated.gate.set()
    with pytest.raises(OffsetOutOfRangeError, match=r"retention has deleted \d offsets"):
        async with within(PATIENCE_SECONDS, "the stage to end"):
            await ending
    came = sorted(await rig.read_numbers(rig.out))
    assert came == list(range(len(came)))
    assert await rig.committed("slow") == {rig.first_partition(): len(came)}
    assert 10 <= len(came) < 15
