"""Lost positions: retention is told from truncation, and nothing is skipped in silence."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from streamapp.brokers.protocols import ConsumerConfig
from streamapp.clock import SystemClock
from streamapp.errors import OffsetOutOfRangeError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.stage import LostPosition
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.lost_positions import LostPositions
from streamapp.runtime.partition import Partition
from tests.unit.runtime import virtual
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed
from tests.unit.runtime.test_faults import Listening, broker_for
from tests.unit.runtime.virtual import in_virtual_time, one_stage, service

PLACE = TopicPartition("a-in", 0)


async def test_a_partition_that_was_assigned_anew_meanwhile_is_not_moved() -> None:
    broker = await broker_for("a")
    await broker.write("a-in", *((None, b"x") for _ in range(9)))
    consumer = broker.consumer(ConsumerConfig("g", ("a-in",)), Listening())
    await consumer.start()
    await until(lambda: consumer.assignment() == {PLACE})
    assignment = Assignment(consumer, StageMetrics("a", "stage", "a-in"))
    assignment.open([PLACE], {})
    asked = consumer.end_offsets

    async def end_offsets(partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        assignment.close()
        assignment.partitions[PLACE] = Partition(PLACE, position=3)
        consumer.seek(PLACE, 3)
        return await asked(partitions)

    consumer.end_offsets = end_offsets  # type: ignore[method-assign]  # a rebalance just then
    positions = LostPositions(assignment, LostPosition.LATEST, SystemClock())

    lost = OffsetOutOfRangeError("lost", offsets={PLACE: 99})
    positions.lost(lost, assignment.partitions.copy())
    await positions.settle()

    assert await consumer.position(PLACE) == 3
    assert assignment.metrics.position_resets == 0
    await consumer.stop()


async def test_a_position_that_an_earlier_assignment_has_lost_moves_no_later_one() -> None:
    """The fetch that says so was begun before the partition was given back and came again."""
    broker = await broker_for("a")
    await broker.write("a-in", *((None, b"x") for _ in range(9)))
    consumer = broker.consumer(ConsumerConfig("g", ("a-in",)), Listening())
    await consumer.start()
    await until(lambda: consumer.assignment() == {PLACE})
    assignment = Assignment(consumer, StageMetrics("a", "stage", "a-in"))
    positions = LostPositions(assignment, LostPosition.LATEST, SystemClock())
    asked = {PLACE: Partition(PLACE, position=99)}
    assignment.partitions[PLACE] = Partition(PLACE, position=3)
    consumer.seek(PLACE, 3)

    positions.lost(OffsetOutOfRangeError("lost", offsets={PLACE: 99}), asked)
    await positions.settle()

    assert await consumer.position(PLACE) == 3
    assert assignment.metrics.position_resets == 0
    await consumer.stop()


async def broker_that_lost_the_last() -> FaultyBroker:
    """One whose group has worked on 8 records, of which its log has kept 3."""
    broker = await virtual.broker_for("p")
    await broker.write("p-in", *((b"k", b"%d" % n) for n in range(8)))
    async with running(service(broker, one_stage(same))):
        await until_committed(broker, "p.stage", 8)
    broker.truncate(TopicPartition("p-in", 0), 3)
    return broker


@pytest.mark.parametrize("policy", ["stop", "earliest"])
@in_virtual_time
async def test_a_position_beyond_the_end_stops_a_stage_that_may_skip_nothing(policy: str) -> None:
    broker = await broker_that_lost_the_last()
    stage = service(broker, one_stage(same, on_lost_position=policy))
    with pytest.raises(OffsetOutOfRangeError) as raised:
        await stage.run()
    sentence = str(raised.value)
    assert "offset 8 of p-in[0] is beyond the end of the log, which holds 0 to 3" in sentence
    assert "the topic was made anew, or the log was truncated" in sentence
    assert "to earliest if the topic is new, to latest if the log was truncated" in sentence
    assert "retention" not in sentence
    assert len(broker.values("p-out")) == 8  # nothing is worked on again
    assert stage.metrics[0].position_resets == 0
    assert await broker.committed("p.stage") == 8


@in_virtual_time
async def test_with_latest_it_goes_on_at_the_end_and_counts_all_that_may_be_new(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_that_lost_the_last()
    stage = service(broker, one_stage(same, on_lost_position="latest"))
    [metrics] = stage.metrics
    async with running(stage):
        await until(lambda: metrics.position_resets == 1)
        await broker.write("p-in", (b"k", b"new"))
        await until(lambda: len(broker.values("p-out")) == 9)
    assert broker.values("p-out")[-1] == b"new"
    assert metrics.passed_over_offsets == 3
    [line] = [line for line in caplog.messages if "beyond the end of the log" in line]
    assert "reading continues at its end, 3" in line
    assert "up to 3 offsets are skipped" in line
    assert any("reading continues at its end, 3" in o.told for o in metrics.occurrences.list())


@in_virtual_time
async def test_a_log_that_has_grown_past_the_position_meanwhile_was_truncated_all_the_same() -> (
    None
):
    broker = await broker_that_lost_the_last()
    broker.ends_refused = True
    stage = service(broker, one_stage(same, on_lost_position="earliest"))
    ending = asyncio.create_task(stage.run())
    await asyncio.sleep(0.5)
    await broker.write("p-in", *((b"k", b"new") for _ in range(9)))
    broker.ends_refused = False
    with pytest.raises(OffsetOutOfRangeError, match="beyond the end"):
        await ending
    assert len(broker.values("p-out")) == 8
