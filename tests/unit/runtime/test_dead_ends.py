"""Where nothing more can be read, the stage ends as a stop does: after all that stands before."""

import asyncio

import pytest

from streamapp.errors import (
    ConfigurationError,
    OffsetOutOfRangeError,
    TopicError,
    UnreadableRecordError,
)
from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from streamapp.record import TopicPartition
from streamapp.runtime.config import RuntimeConfig
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service

PLACE = TopicPartition("p-in", 0)
NUMBERED = [b"%d" % n for n in range(10)]

pytestmark = pytest.mark.timeout(20)


@agent
async def slow(value: bytes) -> bytes:
    """Takes longer than a drain may."""
    await asyncio.sleep(40)
    return value


async def broker_with_ten(*more: bytes, partitions: int = 1) -> FaultyBroker:
    broker = await broker_for("p", partitions=partitions)
    await broker.write("p-in", *((value, value) for value in [*NUMBERED, *more]))
    return broker


def came(broker: FaultyBroker) -> list[bytes]:
    return sorted(value or b"" for value in broker.values("p-out"))


@pytest.mark.parametrize("ordering", ["key", "partition"])
@in_virtual_time
async def test_what_stands_before_an_unreadable_record_is_finished_before_the_stage_ends(
    ordering: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await broker_with_ten(b"unreadable", b"behind")
    broker.make_unreadable(PLACE, 10)
    stage = service(broker, one_stage(slow, ordering=ordering))
    with pytest.raises(UnreadableRecordError, match=r"offset 10 .* set its offset to 11"):
        await stage.run()
    assert came(broker) == NUMBERED
    assert await broker.committed("p.stage") == 10
    assert stage.metrics[0].state is StageState.FAILED
    [told] = [text for text in caplog.messages if "10 records in flight before it" in text]
    assert "the record at offset 10 of p-in[0] cannot be read" in told
    assert "set its offset" not in told  # that is not safe yet


@in_virtual_time
async def test_what_was_read_before_a_position_was_lost_is_finished_before_the_stage_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_with_ten(*(b"later" for _ in range(10)))

    @agent
    async def some_are_slow(value: bytes) -> bytes:
        await asyncio.sleep(1 if value < b"5" else 40)
        return value

    stage = service(broker, one_stage(some_are_slow, max_in_flight_records=10))
    ending = asyncio.create_task(stage.run())
    await until(lambda: stage.metrics[0].records_in == 10)
    await broker.admin().delete_records({PLACE: 15})
    with pytest.raises(OffsetOutOfRangeError, match="retention has deleted 5 offsets") as raised:
        await ending
    assert came(broker) == NUMBERED
    assert await broker.committed("p.stage") == 10
    assert raised.value.offsets == {PLACE: 10}
    [told] = [text for text in caplog.messages if "5 records in flight before it" in text]
    assert "set its offset" not in told  # that is not safe yet


@in_virtual_time
async def test_records_that_wait_for_a_retry_are_finished_too() -> None:
    broker, calls = await broker_with_ten(b"unreadable"), 0
    broker.make_unreadable(PLACE, 10)

    @agent
    async def fails_twice(value: bytes) -> bytes:
        nonlocal calls
        calls += value == b"3"
        if value == b"3" and calls < 3:
            raise OSError
        return value

    policy = retry(3, backoff=Backoff(base_seconds=60, max_seconds=60))
    with pytest.raises(UnreadableRecordError):
        await service(broker, one_stage(fails_twice, policy)).run()
    assert came(broker) == NUMBERED
    assert await broker.committed("p.stage") == 10


@in_virtual_time
async def test_a_replay_in_between_finishes_them_too() -> None:
    broker = await broker_with_ten(b"unreadable")
    broker.make_unreadable(PLACE, 10)
    broker.fail_batches["p-out"] = 2
    with pytest.raises(UnreadableRecordError):
        await service(broker, one_stage(slow)).run()
    assert broker.fired["p-out"] == 2
    assert came(broker) == NUMBERED
    assert await broker.committed("p.stage") == 10


@in_virtual_time
async def test_other_partitions_go_on_until_then_and_are_committed() -> None:
    broker = await broker_with_ten(b"unreadable", partitions=2)
    broker.make_unreadable(PLACE, 10)
    quick = list[bytes]()

    @agent
    async def slow_in_the_first(value: bytes) -> bytes:
        if value in NUMBERED:
            await asyncio.sleep(40)
        quick.append(value)
        return value

    stage = service(broker, one_stage(slow_in_the_first))
    ending = asyncio.create_task(stage.run())
    await asyncio.sleep(20)
    await broker.write("p-in", (b"k", b"other"), partition=1)
    await until(lambda: b"other" in quick)
    assert not ending.done()
    with pytest.raises(UnreadableRecordError):
        await ending
    offsets = await broker.admin().committed_offsets("p.stage")
    assert {place.partition: stored.offset for place, stored in offsets.items()} == {0: 10, 1: 1}


@in_virtual_time
async def test_with_two_workers_the_one_that_owns_the_partition_finishes_it_and_ends() -> None:
    broker = await broker_with_ten(b"unreadable")
    broker.make_unreadable(PLACE, 10)
    stages = [service(broker, one_stage(slow)) for _ in range(2)]
    runs = [asyncio.create_task(stages[0].run())]
    await asyncio.sleep(10)  # it is working on all ten
    runs.append(asyncio.create_task(stages[1].run()))
    ends = await asyncio.gather(*runs, return_exceptions=True)
    assert [type(end) for end in ends] == [UnreadableRecordError, UnreadableRecordError]
    assert set(came(broker)) == set(NUMBERED)
    assert await broker.committed("p.stage") == 10


@in_virtual_time
async def test_a_stage_that_is_told_to_stop_before_then_stops_well() -> None:
    broker = await broker_with_ten(b"unreadable")
    broker.make_unreadable(PLACE, 10)
    stage = service(broker, one_stage(slow), config=RuntimeConfig(shutdown_drain_seconds=60))
    ending = asyncio.create_task(stage.run())
    await until(lambda: stage.metrics[0].in_flight_records == 10)
    stage.stop()
    await ending
    assert came(broker) == NUMBERED


@in_virtual_time
async def test_a_codec_without_its_library_ends_the_stage_after_what_is_running() -> None:
    broker = await broker_with_ten()
    stage = service(broker, one_stage(slow), config=RuntimeConfig(shutdown_drain_seconds=60))

    async def miss_a_library() -> None:
        await until(lambda: stage.metrics[0].records_in == 10)
        broker.fetch_errors = [ConfigurationError("install cramjam")] * 3  # type: ignore[list-item]  # as Kafka's consumer does

    missing = asyncio.create_task(miss_a_library())
    with pytest.raises(ConfigurationError, match="install cramjam"):
        await stage.run()
    await missing
    assert came(broker) == NUMBERED
    assert await broker.committed("p.stage") == 10


@in_virtual_time
async def test_a_record_past_the_end_of_bounded_work_is_not_met() -> None:
    broker = await broker_with_ten()
    stage = service(broker, one_stage(slow, max_in_flight_records=4))
    ending = asyncio.create_task(stage.run(until_end=True))
    await until(lambda: stage.metrics[0].records_in > 0)
    await broker.write("p-in", (b"k", b"unreadable"))
    broker.make_unreadable(PLACE, 10)
    await ending
    assert came(broker) == NUMBERED


@in_virtual_time
async def test_when_the_end_of_bounded_work_cannot_be_found_what_is_running_is_finished() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", *((value, value) for value in NUMBERED))
    await broker.create("q-in", "q-mid", "q-out", "q.first.dlq", "q.stage.dlq")

    @agent
    async def keep_none(_value: bytes) -> bytes | None:
        await asyncio.sleep(1)
        return None

    @agent
    async def quite_slow(value: bytes) -> bytes:
        await asyncio.sleep(10)
        return value

    two = build(
        Pipeline("q", source=Topic("q-in", bytes))
        .stage(keep_none, name="first", output=Topic("q-mid", bytes))
        .stage(quite_slow, name="stage")
        .sink(Topic("q-out", bytes))
    )
    stages = service(broker, one_stage(quite_slow), two)
    await broker.write("q-in", (b"k", b"v"))
    ending = asyncio.create_task(stages.run(until_end=True))
    await until(lambda: stages.metrics[0].in_flight_records == 10)
    await broker.admin().delete_topics(["q-mid"])
    with pytest.raises(TopicError):
        await ending
    assert came(broker) == NUMBERED
    assert await broker.committed("p.stage") == 10
