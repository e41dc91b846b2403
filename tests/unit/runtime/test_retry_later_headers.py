"""What is written of a record that waits for a delay, and what others may have written there."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.pipeline.trail import header_in, trail_from
from streamapp.record import StoredRecord, TopicPartition
from streamapp.runtime.retry_records import restored
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.simulation.loop import EPOCH_SECONDS
from tests.unit.runtime.faults import running
from tests.unit.runtime.later import BOTH, MINUTE, SLACK, TEN, Calls, topics, topology, until_done
from tests.unit.runtime.virtual import broker_with, in_virtual_time, loop, one_stage, service


@in_virtual_time
async def test_what_waits_has_the_original_byte_for_byte_and_says_where_it_is_from() -> None:
    calls = Calls({b"a": 9})
    made = topology(calls)
    broker = await topics(made)
    earlier = [("streamapp.error.pipeline", b"other"), ("h", b"\xff"), ("streamapp.error.x", b"1")]
    async with running(service(broker, made)):
        await broker.write("p-in", (b"", b"other"), (None, b"a"), headers=earlier)
        await until_done(broker, ("p.stage.dlq", 1))
    for *_, headers in calls.seen[1:]:
        assert {**headers, "streamapp.context": b""} == {**dict(earlier), "streamapp.context": b""}
    [first], [second] = broker.records(TEN), broker.records(MINUTE)
    assert (first.key, first.value, second.key, second.value) == (None, b"a", None, b"a")
    for record, attempts, delay, retries in (
        (first, "1", "10000", "1"),
        (second, "2", "60000", "2"),
    ):
        kept = [one for one in record.headers if one[0] != "streamapp.context"][:3]
        assert kept == earlier
        facts = error_headers(record)
        assert sum(name == "streamapp.error.due" for name, _ in record.headers) == 1
        expected = {"pipeline": "p", "stage": "stage", "topic": "p-in", "partition": "0"}
        expected |= {"offset": "1", "attempts": attempts, "class": "ValueError"}
        expected |= {"delay": delay, "retry": retries}
        assert expected.items() <= facts.items()
        assert 0 <= int(facts["due"]) - int(facts["last_failure"]) - int(delay) <= 1
        assert facts["first_failure"] == error_headers(first)["first_failure"]


@in_virtual_time
async def test_a_record_that_no_stage_wrote_waits_as_well() -> None:
    calls = Calls({b"x": 1})
    made = topology(calls)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write(TEN, (b"k", b"x"), headers=[("streamapp.error.due", b"soon")])
        await until_done(broker, ("p-out", 1))
    first, second = calls.times(b"x")
    assert 10 <= first < 10 + SLACK
    assert 60 <= second - first < 60 + 1 + SLACK


@in_virtual_time
async def test_a_time_that_no_delay_explains_is_not_waited_for() -> None:
    calls = Calls()
    made = topology(calls)
    broker = await topics(made)
    far = [("streamapp.error.due", b"%d" % 10**15)]
    async with running(service(broker, made)):
        await broker.write(TEN, (b"k", b"x"), headers=far)
        await until_done(broker, ("p-out", 1))
    assert loop().time() < 12


FACTS = {"pipeline": b"p", "topic": b"p-in", "partition": b"0", "offset": b"0", "attempts": b"1"}
FACTS |= {"timestamp": b"1700000000000", "first_failure": b"1700000000000", "retry": b"1"}


@pytest.mark.parametrize(
    "name", ["topic", "due", "first_failure", "retry", "attempts", "timestamp"]
)
@pytest.mark.parametrize("content", [None, b"-3", b"9" * 400, b"no"])
def test_headers_that_no_stage_wrote_end_no_stage(name: str, content: bytes | None) -> None:
    @in_virtual_time
    async def run() -> None:
        calls = Calls({b"x": 1})
        made = topology(calls)
        broker = await topics(made)
        facts: dict[str, bytes | None] = {**FACTS, name: content}
        headers = [(f"streamapp.error.{name}", content) for name, content in facts.items()]
        async with running(service(broker, made)):
            await broker.write(TEN, (b"k", b"x"), headers=headers)  # type: ignore[arg-type]  # as Kafka may hold it
            await broker.write(TEN, (b"k", b"y"))
            await until_done(broker, ("p-out", 2))

    run()


@in_virtual_time
async def test_what_does_not_fit_into_its_retry_topic_ends_at_once() -> None:
    calls = Calls({b"a" * 500: 9})
    made = topology(calls)
    broker = await topics(made)
    await broker.admin().alter_topic_config(TEN, {"max.message.bytes": "400"})
    stage = service(broker, made)
    async with running(stage):
        await broker.write("p-in", (b"k", b"a" * 500))
        await until_done(broker, ("p.stage.dlq", 1), seconds=5)
    assert stage.metrics[0].producer_replacements == stage.metrics[0].retried_later == 0
    assert error_headers(broker.records("p.stage.dlq")[0])["attempts"] == "1"


@in_virtual_time
async def test_a_record_that_its_retry_topic_refuses_ends_at_once() -> None:
    calls = Calls({b"a": 9})
    made = topology(calls)
    broker = await topics(made)
    broker.refused = {(TEN, b"a")}
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"), (b"k", b"b"))
        await until_done(broker, ("p.stage.dlq", 1), ("p-out", 1), seconds=9)
    assert broker.values("p.stage.dlq") == [b"a"]


@in_virtual_time
async def test_what_no_stage_wrote_failed_first_when_it_was_tried() -> None:
    calls = Calls({b"x": 9})
    made = topology(calls)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write(MINUTE, (b"k", b"x"))
        await until_done(broker, ("p.stage.dlq", 1))
    facts = error_headers(broker.records("p.stage.dlq")[0])
    assert int(facts["first_failure"]) == pytest.approx((EPOCH_SECONDS + 60) * 1000, abs=1000)


def test_facts_of_a_failure_before_headers_of_others_are_not_of_the_last_attempt() -> None:
    """As a dead letter has that someone sent here, with a header of his own."""
    place = TopicPartition(TEN, 0)
    facts = [(f"streamapp.error.{name}", content) for name, content in FACTS.items()]
    record = StoredRecord(7, 5, b"k", b"x", [*facts, ("own", b"1")])
    found, earlier = restored(record, place, 1)
    assert (earlier.source, earlier.offset, earlier.attempts) == (place, 7, 0)
    assert found.headers == record.headers
    found, earlier = restored(StoredRecord(7, 5, b"k", b"x", [("own", b"1"), *facts]), place, 1)
    assert (earlier.source, earlier.attempts) == (TopicPartition("p-in", 0), 1)
    assert found.headers == [("own", b"1")]


class Frozen(BaseModel):
    """What fused stages hand over without writing it."""

    model_config = ConfigDict(frozen=True)
    text: str


@in_virtual_time
async def test_a_fused_stage_whose_input_cannot_be_written_never_gets_that_of_the_first() -> None:
    seen: list[str] = []

    @agent
    def first(_: Frozen) -> Frozen:
        return Frozen.model_construct(text="\ud800")

    @agent
    def second(value: Frozen) -> Frozen:
        seen.append(value.text)
        raise LookupError("not yet")

    made = build(
        Pipeline("p", source=Topic("p-in", Frozen))
        .stage(first)
        .stage(second, name="stage", fused=True, on_error=BOTH)
        .sink(Topic("p-out", Frozen))
    )
    broker = await broker_with(*made.topics())
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b'{"text":"of the first"}'))
        await until_done(broker, ("p.stage.dlq", 1))
    assert seen == ["\ud800"]


class Play(BaseModel):
    """One of the types of a stage."""

    n: int = 0


class Crash(BaseModel):
    """One whose bytes fit the other types too."""

    n: int = 0
    reason: str = ""


class Pause(BaseModel):
    """The third."""

    n: int = 0
    seconds: int = 0


@in_virtual_time
async def test_what_waits_is_read_as_no_other_type_when_its_source_is_one_no_more() -> None:
    seen: list[object] = []

    @agent
    def fails(value: Play | Crash | Pause) -> None:
        seen.append(value)
        raise LookupError("not yet")

    def reads(*sources: Topic[Any]) -> Topology:
        return build(Pipeline("p", source=sources).stage(fails, name="stage", on_error=BOTH))

    plays, crashes, pauses = Topic("a", Play), Topic("b", Crash), Topic("c", Pause)
    before, after = reads(plays, crashes), reads(plays, pauses)
    broker = await broker_with(*{*before.topics(), *after.topics()})
    async with running(service(broker, before)):
        await broker.write("b", (b"k", b'{"n":1,"reason":"codec"}'))
        await until_done(broker, (TEN, 1))
    async with running(service(broker, after)):
        await until_done(broker, ("p.stage.dlq", 1))
    assert seen == [Crash(n=1, reason="codec")]
    facts = error_headers(broker.records("p.stage.dlq")[0])
    assert (facts["topic"], facts["reason"]) == ("b", "decode")


@in_virtual_time
async def test_an_output_after_a_delay_has_the_trail_of_all_attempts() -> None:
    failures = [ValueError("one"), ValueError("two")]

    @agent
    def plain(value: bytes) -> bytes:
        if failures:
            raise failures.pop()
        return value

    made = one_stage(plain, BOTH, breaker=None)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"))
        await until_done(broker, ("p-out", 1))
    header = header_in(broker.records("p-out")[0].headers)
    assert header is not None
    trail = trail_from(header)
    assert trail is not None
    assert [(one.stage_id, one.attempts) for one in trail.history] == [("stage", 3)]
    assert [one.error for one in trail.errors] == ["ValueError: two", "ValueError: one"]
