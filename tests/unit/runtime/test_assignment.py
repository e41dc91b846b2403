"""Partitions that go on elsewhere: what is read again, and what is finished there."""

import pytest

from streamapp.brokers.protocols import CommittedOffset, ConsumerConfig
from streamapp.observability.stage_metrics import Received, StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.commit_metadata import encode
from streamapp.runtime.partition import Partition
from tests.unit.runtime.faults import until
from tests.unit.runtime.test_faults import Listening, broker_for

PLACE = TopicPartition("a-in", 0)


@pytest.mark.parametrize(
    ("offset", "start", "finished"),
    [
        (12, 12, {7, 9}),
        (10, 10, {7, 9}),
        (8, 5, {7}),
        (7, 5, set()),
        (5, 5, set()),
        (2, 2, set()),
    ],
)
async def test_a_move_keeps_what_stands_before_it_and_nothing_from_there_on(
    offset: int, start: int, finished: set[int]
) -> None:
    broker = await broker_for("a")
    await broker.write("a-in", *((None, b"x") for _ in range(20)))
    consumer = broker.consumer(ConsumerConfig("g", ("a-in",)), Listening())
    await consumer.start()
    await until(lambda: consumer.assignment() == {PLACE})
    assignment = Assignment(consumer, StageMetrics("a", "stage", "a-in"))
    before = assignment.partitions[PLACE] = Partition(PLACE)
    before.admit(range(10), 0)
    for done in ([0, 1, 2, 3, 4], [7], [9]):
        before.finish(done, 0)
    assignment.end_at({PLACE: 15})

    assignment.restart_at(PLACE, offset)

    after = assignment.partitions[PLACE]
    assert before.closed == (offset < 10)
    assert await consumer.position(PLACE) == start
    assert after.frontier.offset == (5 if offset >= 10 else start)
    assert set(after.frontier.finished_ahead) == finished
    assert after.until == 15
    await consumer.stop()


async def test_a_partition_opens_where_its_group_has_committed_and_knows_what_is_finished() -> None:
    broker = await broker_for("a")
    await broker.write("a-in", *((None, b"x") for _ in range(20)))
    metadata, _ = encode(4, [6, 7])
    await broker.admin().set_offsets("g", {PLACE: CommittedOffset(4, metadata)})
    consumer = broker.consumer(ConsumerConfig("g", ("a-in",)), Listening())
    await consumer.start()
    await until(lambda: consumer.assignment() == {PLACE})
    assignment = Assignment(consumer, StageMetrics("a", "stage", "a-in"))

    assignment.open([PLACE], {})

    [opened] = assignment.partitions.values()
    assert opened.frontier.offset == 4
    assert set(opened.admit(range(4, 10), 0)) == {6, 7}
    assert opened.committed == CommittedOffset(4, metadata)
    assert assignment.metrics.received == {"a-in": Received(0, 0)}, "its series begin at zero"
    await consumer.stop()
