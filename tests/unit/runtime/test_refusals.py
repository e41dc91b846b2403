"""A record that its output topic refuses goes the way of its policy, and only that record."""

import asyncio

import pytest

from streamapp.errors import Permanent, StageStoppedError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, drop, retry, skip, stop
from streamapp.topics.topic import Topic
from tests.simulation.loop import EPOCH_SECONDS
from tests.unit.runtime.agents import same, suspend
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service

pytestmark = pytest.mark.timeout(20)  # a replay that goes round without a pause never ends

VALUES = [b"%d" % n for n in range(20)]
NOW = int(EPOCH_SECONDS * 1000)
DAY = 24 * 3600 * 1000
AHEAD, OLD = NOW + 2 * DAY, NOW - 30 * DAY


@agent
def in_a_list(value: bytes) -> list[bytes]:
    return [value]


async def write_around(broker: FaultyBroker, bad: int) -> None:
    """Write good records before and behind one with this timestamp."""
    limit = {"message.timestamp.after.max.ms": str(100 * DAY)}
    await broker.admin().alter_topic_config("p-in", limit)
    first, second = VALUES[:10], VALUES[10:]
    await broker.write("p-in", *((value, value) for value in first), timestamp=NOW)
    await broker.write("p-in", (b"k", b"bad"), timestamp=bad)
    await broker.write("p-in", *((value, value) for value in second), timestamp=NOW)


async def limited() -> FaultyBroker:
    """A broker whose topics take timestamps of the last ten days."""
    broker = await broker_for("p")
    for topic in ("p-out", "p.stage.dlq"):
        limit = {"message.timestamp.before.max.ms": str(10 * DAY)}
        await broker.admin().alter_topic_config(topic, limit)
    return broker


@pytest.mark.parametrize("bad", [AHEAD, OLD], ids=["ahead", "old"])
@pytest.mark.parametrize("step", [same, suspend, in_a_list], ids=["burst", "async", "list"])
@in_virtual_time
async def test_a_timestamp_that_the_topic_refuses_is_the_fault_of_its_record(
    step: Agent[bytes, bytes], bad: int
) -> None:
    broker = await limited()
    stage = service(broker, one_stage(step))
    async with running(stage):
        await write_around(broker, bad)
        await until_committed(broker, "p.stage", 21)
    assert broker.values("p-out") == VALUES
    [letter] = broker.records("p.stage.dlq")
    headers = dict(letter.headers)
    assert (letter.value, headers["streamapp.error.reason"]) == (b"bad", b"output")
    assert headers["streamapp.error.class"] == b"RecordRefusedError"
    assert headers["streamapp.error.timestamp"] == b"%d" % bad
    assert abs(letter.timestamp - NOW) < DAY
    assert stage.metrics[0].producer_replacements == 0


@in_virtual_time
async def test_a_dead_letter_keeps_a_timestamp_that_its_topic_takes() -> None:
    broker = await broker_for("p")
    await broker.admin().alter_topic_config("p-out", {"message.timestamp.after.max.ms": "1000"})
    async with running(service(broker, one_stage(same))):
        await write_around(broker, NOW + 60_000)
        await until_committed(broker, "p.stage", 21)
    assert [letter.timestamp for letter in broker.records("p.stage.dlq")] == [NOW + 60_000]


@pytest.mark.parametrize(
    ("policy", "letters"), [(skip(), [b"bad"]), (drop(), []), (retry(3), [b"bad"])]
)
@in_virtual_time
async def test_the_policy_decides_about_a_refused_timestamp(
    policy: Policy, letters: list[bytes]
) -> None:
    broker = await broker_for("p")
    async with running(service(broker, one_stage(same, policy))):
        await write_around(broker, AHEAD)
        await until_committed(broker, "p.stage", 21)
    assert (broker.values("p-out"), broker.values("p.stage.dlq")) == (VALUES, letters)


@in_virtual_time
async def test_a_stage_that_stops_on_failures_stops_at_a_refused_timestamp() -> None:
    broker = await broker_for("p")
    await write_around(broker, AHEAD)
    with pytest.raises(StageStoppedError, match="is 172800 s ahead"):
        await service(broker, one_stage(same, stop())).run()
    assert await broker.committed("p.stage") == 10


@in_virtual_time
async def test_a_topic_that_sets_the_time_itself_takes_any_timestamp() -> None:
    broker = await limited()
    await broker.admin().alter_topic_config("p-out", {"message.timestamp.type": "LogAppendTime"})
    async with running(service(broker, one_stage(same))):
        await write_around(broker, OLD)
        await until(lambda: len(broker.values("p-out")) == 21)
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_of_fused_stages_the_one_that_writes_gives_a_refused_record_up() -> None:
    broker = await broker_for("p")
    await broker.create("p.last.dlq")
    fused = build(
        Pipeline("p", source=Topic("p-in", bytes))
        .stage(same, name="stage", on_error=stop())
        .stage(same, name="last", fused=True, on_error=dead_letter())
        .sink(Topic("p-out", bytes))
    )
    async with running(service(broker, fused)):
        await write_around(broker, AHEAD)
        await until_committed(broker, "p.stage", 21)
    assert (broker.values("p-out"), broker.values("p.last.dlq")) == (VALUES, [b"bad"])


@pytest.mark.parametrize("step", [same, suspend, in_a_list], ids=["burst", "async", "list"])
@pytest.mark.parametrize("place", [0, 7, 199])
@in_virtual_time
async def test_a_record_that_is_refused_for_another_reason_is_found(
    step: Agent[bytes, bytes], place: int
) -> None:
    broker = await broker_for("p")
    broker.refused.add(("p-out", b"%d" % place))
    values = [b"%d" % n for n in range(200)]
    async with running(service(broker, one_stage(step))):
        await broker.write("p-in", *((b"%d" % (n % 7), value) for n, value in enumerate(values)))
        await until_committed(broker, "p.stage", 200)
    assert broker.values("p.stage.dlq") == [b"%d" % place]
    good = [value for value in values if value != b"%d" % place]
    assert sorted(broker.values("p-out"), key=str) == sorted(good, key=str)
    for key in range(7):
        of_key = [record.value for record in broker.records("p-out") if record.key == b"%d" % key]
        assert of_key == [value for value in good if int(value) % 7 == key]
    assert broker.fired["refused"] <= 10


@in_virtual_time
async def test_once_it_is_found_as_many_records_as_before_are_worked_on_at_a_time() -> None:
    gate, active = asyncio.Event(), 0

    @agent
    async def counting(value: bytes) -> bytes:
        nonlocal active
        active += 1
        if value.startswith(b"later"):
            await gate.wait()
        active -= 1
        return value

    broker = await broker_for("p")
    broker.refused.add(("p-out", b"7"))
    async with running(service(broker, one_stage(counting, concurrency=64))):
        await broker.write("p-in", *((value, value) for value in VALUES))
        await until_committed(broker, "p.stage", 20)
        await broker.write("p-in", *((b"%d" % n, b"later %d" % n) for n in range(40)))
        await until(lambda: active == 40)
        gate.set()
        await until_committed(broker, "p.stage", 60)


@in_virtual_time
async def test_several_refused_records_are_found_one_after_another() -> None:
    broker = await broker_for("p")
    broker.refused = {("p-out", b"%d" % n) for n in (3, 4, 90)}
    values = [b"%d" % n for n in range(100)]
    async with running(service(broker, one_stage(same))):
        await broker.write("p-in", *((value, value) for value in values))
        await until_committed(broker, "p.stage", 100)
        await broker.write("p-in", (b"k", b"more"))
        await until_committed(broker, "p.stage", 101)
    assert sorted(broker.values("p.stage.dlq"), key=str) == [b"3", b"4", b"90"]
    assert len(broker.values("p-out")) == 98


@in_virtual_time
async def test_what_may_be_the_fault_of_the_world_is_not_held_against_a_record() -> None:
    broker = await broker_for("p")
    broker.refused = {("p-out", value) for value in VALUES}
    broker.is_certain = False
    async with running(service(broker, one_stage(same))):
        await broker.write("p-in", *((value, value) for value in VALUES))
        await asyncio.sleep(300)
        assert broker.values("p.stage.dlq") == []
        assert broker.fired["refused"] < 50
        broker.refused.clear()
        await until_committed(broker, "p.stage", 20)
    assert sorted(broker.values("p-out"), key=str) == sorted(VALUES, key=str)


@in_virtual_time
async def test_where_the_broker_takes_others_a_record_that_it_does_not_take_is_at_fault() -> None:
    broker = await broker_for("p")
    broker.refused.add(("p-out", b"7"))
    broker.is_certain = False
    async with running(service(broker, one_stage(same))):
        await broker.write("p-in", *((value, value) for value in VALUES))
        await until_committed(broker, "p.stage", 20)
    assert broker.values("p.stage.dlq") == [b"7"]
    assert len(broker.values("p-out")) == 19


@in_virtual_time
async def test_a_stage_whose_dead_letter_is_refused_stops_at_the_record() -> None:
    broker = await broker_for("p")
    broker.refused.add(("p.stage.dlq", b"bad"))

    @agent
    def refuse_bad(value: bytes) -> bytes:
        if value == b"bad":
            raise Permanent("no")
        return value

    await write_around(broker, NOW)
    with pytest.raises(StageStoppedError, match="its dead letter is refused"):
        await service(broker, one_stage(refuse_bad)).run()
    assert await broker.committed("p.stage") == 10


@in_virtual_time
async def test_others_do_not_wait_for_long_while_a_record_that_is_looked_for_waits() -> None:
    broker = await broker_for("p")
    calls: dict[bytes, int] = {}

    @agent
    async def fail_when_looked_for(value: bytes) -> bytes:
        calls[value] = calls.get(value, 0) + 1
        if value == b"0" and calls[value] > 1:
            raise OSError("not now")
        return value

    broker.refused = {("p-out", b"0")}
    policy = retry(1000, backoff=Backoff(base_seconds=600, max_seconds=600))
    async with running(service(broker, one_stage(fail_when_looked_for, policy, concurrency=4))):
        await broker.write("p-in", (b"a", b"0"), (b"b", b"1"))
        await until(lambda: b"1" in broker.values("p-out"), seconds=100)


@pytest.mark.parametrize("others", [1, 2, 9])
@in_virtual_time
async def test_a_record_that_waits_alone_does_not_keep_a_refused_one_from_being_found(
    others: int,
) -> None:
    broker = await broker_for("p")
    broker.refused = {("p-out", b"bad")}

    @agent
    async def fails_through_the_world(value: bytes) -> bytes:
        await asyncio.sleep(0.01)
        if value == b"lone":
            raise OSError("not reachable")
        return value

    async with running(service(broker, one_stage(fails_through_the_world, concurrency=1))):
        written = [b"lone", b"bad", *VALUES[:others]]
        await broker.write("p-in", *((value, value) for value in written))
        await until_committed(broker, "p.stage", len(written))
    assert set(broker.values("p.stage.dlq")) == {b"bad", b"lone"}
    assert broker.values("p-out") == VALUES[:others]
    assert broker.fired["refused"] <= 5
