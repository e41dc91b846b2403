"""What was acknowledged is finished, whatever becomes of the rest of its flush."""

import asyncio
from collections import Counter

import pytest

from streamapp.brokers.partitioner import partition_for
from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import Permanent
from streamapp.pipeline.agent import agent
from streamapp.pipeline.out import Out
from streamapp.record import TopicPartition
from tests.unit.runtime.agents import same, suspend
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

pytestmark = pytest.mark.timeout(20)  # a replay that goes round without a pause never ends

VALUES = [b"%d" % n for n in range(20)]
KEYS = [next(b"%d" % n for n in range(99) if partition_for(b"%d" % n, 4) == p) for p in range(4)]
"""For each of four partitions, a key that goes there."""


@agent
def refuse_bad(value: bytes) -> bytes:
    if value == b"bad":
        raise Permanent("no")
    return value


@agent
async def first_of_two(value: bytes) -> list[bytes]:
    await asyncio.sleep(0)
    return [value] if value != b"two" else [b"one", value]


@agent
def to_the_key_of_its_value(value: bytes) -> Out[bytes]:
    return Out(value, key=KEYS[int(value)])


def written(broker: FaultyBroker, topic: str, partitions: int = 4) -> Counter[bytes | None]:
    return Counter(value for p in range(partitions) for value in broker.values(topic, p))


@in_virtual_time
async def test_outputs_are_written_once_though_the_dead_letters_of_their_flush_fail() -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(refuse_bad))
    async with running(stage):
        broker.fail_batches["p.stage.dlq"] = 5
        await broker.write("p-in", (b"k", b"bad"), *((value, value) for value in VALUES))
        await until(lambda: broker.values("p.stage.dlq") == [b"bad"], seconds=100)
        await until_committed(broker, "p.stage", 21)
    assert broker.values("p-out") == VALUES
    assert sum(stage.metrics[0].dead_letters.values()) == 1


@in_virtual_time
async def test_outputs_are_written_once_though_the_dead_letter_topic_is_missing() -> None:
    broker = await broker_for("p")
    async with running(service(broker, one_stage(refuse_bad))):
        await broker.write("p-in", (b"k", b"0"))
        await until(lambda: broker.values("p-out") == [b"0"])
        await broker.admin().delete_topics(["p.stage.dlq"])
        await broker.write("p-in", *((value, value) for value in VALUES[1:]), (b"k", b"bad"))
        await asyncio.sleep(60)
        await broker.admin().create_topics([TopicSpec("p.stage.dlq", 1)])
        await until(lambda: broker.values("p.stage.dlq") == [b"bad"], seconds=100)
        await until_committed(broker, "p.stage", 21)
    assert broker.values("p-out") == VALUES


@pytest.mark.parametrize("step", [same, suspend, first_of_two], ids=["burst", "async", "list"])
@in_virtual_time
async def test_outputs_are_written_once_though_a_partition_of_their_topic_fails(
    step: object,
) -> None:
    broker = await broker_for("p", partitions=4)
    async with running(service(broker, one_stage(step))):  # type: ignore[arg-type]  # an agent
        await broker.write("p-in", (KEYS[0], b"before"))
        await until(lambda: written(broker, "p-out") == {b"before": 1})
        broker.failing = {TopicPartition("p-out", 1)}
        await broker.write("p-in", *((key, key) for key in KEYS), *((None, key) for key in KEYS))
        await asyncio.sleep(60)
        broker.failing.clear()
        await until_committed(broker, "p.stage", 9)
        assert written(broker, "p-out") == {b"before": 1, **dict.fromkeys(KEYS, 2)}


@in_virtual_time
async def test_a_dead_letter_that_was_written_counts_once_and_is_progress_though_outputs_fail() -> (
    None
):
    broker = await broker_for("p")
    stage = service(broker, one_stage(refuse_bad))
    [metrics] = stage.metrics
    async with running(stage):
        broker.failing = {TopicPartition("p-out", 0)}
        await broker.write("p-in", (b"0", b"0"))
        await asyncio.sleep(60)
        written_at = loop().time()
        await broker.write("p-in", (b"k", b"bad"))
        await until(lambda: (metrics.last_progress_at or 0) >= written_at, seconds=60)
        assert broker.values("p-out") == []
        broker.failing.clear()
        await until(lambda: broker.values("p-out") == [b"0"], seconds=60)
        await until_committed(broker, "p.stage", 2)
    assert broker.values("p.stage.dlq") == [b"bad"]
    assert sum(metrics.dead_letters.values()) == 1


@in_virtual_time
async def test_an_output_with_a_key_of_its_own_is_written_again_if_it_may_be_lost() -> None:
    broker = await broker_for("p", partitions=4)
    async with running(service(broker, one_stage(to_the_key_of_its_value))):
        broker.failing = {TopicPartition("p-out", 1)}
        # The key of the second record would go to the partition that fails, its output does not.
        await broker.write("p-in", (KEYS[0], b"1"), (KEYS[1], b"0"))
        await until(lambda: broker.fired["p-out"] > 2, seconds=100)
        broker.failing.clear()
        await until_committed(broker, "p.stage", 2)
        assert written(broker, "p-out").keys() == {b"0", b"1"}


@in_virtual_time
async def test_what_is_written_again_is_followed_by_later_outputs_of_its_key() -> None:
    broker = await broker_for("p", partitions=4)

    @agent
    def two_keys(value: bytes) -> list[Out[bytes]]:
        keys = KEYS[:2] if value == b"both" else KEYS[:1]
        return [Out(value, key=key) for key in keys]

    async with running(service(broker, one_stage(two_keys))):
        broker.failing = {TopicPartition("p-out", 1)}
        await broker.write("p-in", (b"k", b"both"), (b"k", b"later"), (b"other", b"third"))
        await until(lambda: broker.fired["p-out"] > 2, seconds=100)
        broker.failing.clear()
        await until_committed(broker, "p.stage", 3)
        assert broker.values("p-out", 0)[-2:] == [b"both", b"later"]
        assert written(broker, "p-out")[b"third"] == 1


@in_virtual_time
async def test_acknowledgements_that_come_soon_after_a_failure_count() -> None:
    broker = await broker_for("p")
    async with running(service(broker, one_stage(refuse_bad))):
        broker.fail_batches["p.stage.dlq"] = 1
        broker.unanswered.add("p-out")
        await broker.write("p-in", (b"k", b"bad"), *((value, value) for value in VALUES))
        await until(lambda: bool(broker.answers))
        await asyncio.sleep(1)
        broker.answers[0].set_result(None)
        broker.unanswered.clear()
        await until_committed(broker, "p.stage", 21)
    assert broker.values("p-out") == VALUES
    assert broker.values("p.stage.dlq") == [b"bad"]


@in_virtual_time
async def test_a_replay_begins_though_an_acknowledgement_never_comes() -> None:
    broker = await broker_for("p")
    async with running(service(broker, one_stage(refuse_bad))):
        broker.fail_batches["p.stage.dlq"] = 1
        broker.unanswered.add("p-out")
        await broker.write("p-in", (b"k", b"bad"), (b"k", b"1"))
        await until(lambda: bool(broker.answers))
        broker.unanswered.clear()
        await until_committed(broker, "p.stage", 2)
    assert broker.values("p-out") == [b"1", b"1"]


@in_virtual_time
async def test_outputs_are_written_once_though_another_stage_loses_the_producer() -> None:
    broker = await broker_for("a", "b")
    both = service(broker, one_stage(same, name="a"), one_stage(same, name="b"))
    async with running(both):
        await until(lambda: all(metrics.rebalances for metrics in both.metrics))
        broker.unanswered.add("a-out")
        await broker.write("a-in", *((value, value) for value in VALUES))
        await until(lambda: bool(broker.answers))
        broker.fail_batches["b-out"] = 1
        await broker.write("b-in", (b"k", b"2"))
        await until(lambda: broker.fired["b-out"] == 1)
        broker.answers[0].set_result(None)
        broker.unanswered.clear()
        await until_committed(broker, "a.stage", 20)
        await until_committed(broker, "b.stage", 1)
    assert broker.values("a-out") == VALUES


@in_virtual_time
async def test_a_stop_during_a_replay_commits_what_was_acknowledged() -> None:
    broker = await broker_for("p")
    async with running(service(broker, one_stage(refuse_bad))):
        await broker.write("p-in", (b"k", b"0"))
        await until_committed(broker, "p.stage", 1)
        broker.producers_refused = True
        broker.fail_batches["p.stage.dlq"] = 1
        await broker.write("p-in", *((value, value) for value in VALUES[1:]), (b"k", b"bad"))
        await until(lambda: broker.fired["p.stage.dlq"] == 1)
        await asyncio.sleep(5)
    assert await broker.committed("p.stage") == 20
    broker.producers_refused = False
    async with running(service(broker, one_stage(refuse_bad))):
        await until_committed(broker, "p.stage", 21)
    assert broker.values("p-out") == VALUES
