"""A lost position that is looked for while its partition goes away and comes back."""

from collections.abc import Collection, Mapping

from streamapp.brokers.protocols import ConsumerConfig
from streamapp.clock import SystemClock
from streamapp.errors import OffsetOutOfRangeError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.stage import LostPosition, StageConfig
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.intake import Intake
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import ReadyQueue
from tests.unit.runtime.faults import until
from tests.unit.runtime.test_faults import Listening, broker_for

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
    config = StageConfig(on_lost_position=LostPosition.LATEST)
    intake = Intake(assignment, config, SystemClock(), ReadyQueue())

    await intake._recover_position(OffsetOutOfRangeError("lost", offsets={PLACE: 99}))

    assert await consumer.position(PLACE) == 3
    assert assignment.metrics.position_resets == 0
    await consumer.stop()
