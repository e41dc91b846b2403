"""A record that is retried later waits in a topic, and comes back when it is due, not before."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.brokers.protocols import ConsumerConfig, RebalanceListener
from streamapp.errors import Permanent, StageStoppedError
from streamapp.observability.health import stage_health
from streamapp.observability.stage_metrics import Outcome
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.pipeline.trail import header_in, trail_from
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, drop, retry, retry_later, stop
from streamapp.record import Record, StoredRecord, TopicPartition
from streamapp.runtime.config import RuntimeConfig
from streamapp.runtime.retry_records import restored
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.patience import within
from tests.simulation.loop import EPOCH_SECONDS
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_with, in_virtual_time, loop, one_stage, service

TEN, MINUTE = "p.stage.retry-10s", "p.stage.retry-1m"
BOTH = retry_later([10, timedelta(minutes=1)])
SENT_MS = 1_699_999_999_000
SLACK = 0.1
"""A partition is looked at again at least ten times a second when its next record is due."""


@dataclass
class Calls:
    """An agent that fails so often for a value, and when it was called with it."""

    failures: dict[bytes, int] = field(default_factory=dict)
    error: Callable[[], Exception] = lambda: ValueError("not yet")
    at: list[tuple[bytes, float]] = field(default_factory=list)
    seen: list[tuple[str, int | None, int, Mapping[str, bytes]]] = field(default_factory=list)

    def call(self, value: bytes) -> bytes:
        self.at.append((value, loop().time()))
        if self.failures.get(value, 0):
            self.failures[value] -= 1
            raise self.error()
        return value

    def times(self, value: bytes) -> list[float]:
        return [at for called, at in self.at if called == value]

    @property
    def agent(self) -> Agent[bytes, bytes]:
        @agent
        def calls(value: bytes, context: Context) -> bytes:
            self.seen.append(
                (context.topic, context.record.offset, context.attempt, context.headers)
            )
            return self.call(value)

        return calls


def topology(calls: Calls, policy: Policy = BOTH, **settings: Any) -> Topology:
    return one_stage(calls.agent, policy, breaker=None, **settings)


async def topics(made: Topology, partitions: int = 1) -> FaultyBroker:
    return await broker_with(*made.topics(), partitions=partitions)


async def until_done(broker: FaultyBroker, *ends: tuple[str, int], seconds: float = 300) -> None:
    """Wait until topics have so many records."""
    async with within(seconds, f"{ends}", lambda: [broker.values(name) for name, _ in ends]):
        while any(len(broker.values(name)) < count for name, count in ends):  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.05)


@in_virtual_time
async def test_a_record_waits_for_one_delay_after_the_other_and_then_succeeds() -> None:
    calls = Calls({b"a": 2})
    made = topology(calls)
    broker = await topics(made)
    stage = service(broker, made)
    headers = [("h", b"1"), ("h", b"2")]
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"), headers=headers)
        await until_done(broker, ("p-out", 1))
    first, second, third = calls.times(b"a")
    assert 10 <= second - first < 10 + SLACK
    assert 60 <= third - second < 60 + 1 + SLACK
    [output] = broker.records("p-out")
    own = [header for header in output.headers if header[0] != "streamapp.context"]
    assert (output.key, output.value, own) == (b"k", b"a", headers)
    assert [(topic, offset, attempt) for topic, offset, attempt, _ in calls.seen] == [
        ("p-in", 0, 1),
        ("p-in", 0, 2),
        ("p-in", 0, 3),
    ]
    assert stage.metrics[0].outcomes[Outcome.RETRIED_LATER] == 2
    assert stage.metrics[0].outcomes[Outcome.PROCESSED] == 1
    assert stage.metrics[0].records_out[TEN] == 1
    assert stage.metrics[0].records_out[MINUTE] == 1


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


def without_times(record: Record) -> object:
    facts = error_headers(record)
    for name in ("first_failure", "last_failure", "execution_id", "attempts", "reason"):
        facts.pop(name)
    own = [
        h for h in record.headers if not h[0].startswith(("streamapp.error.", "streamapp.context"))
    ]
    return record.key, record.value, own, record.timestamp, facts


@in_virtual_time
async def test_the_final_dead_letter_is_that_of_the_original() -> None:
    letters: list[Record] = []
    for policy in (BOTH, dead_letter()):
        calls = Calls({b"a": 9})
        made = topology(calls, policy)
        broker = await topics(made)
        async with running(service(broker, made)):
            await broker.write(
                "p-in", (b"k", b"other"), (b"k", b"a"), headers=[("h", b"1")], timestamp=SENT_MS
            )
            await until_done(broker, ("p.stage.dlq", 1))
        letters += broker.records("p.stage.dlq")
    later, at_once = letters
    assert without_times(later) == without_times(at_once)
    facts = error_headers(later)
    assert (facts["attempts"], facts["reason"]) == ("3", "exhausted")
    waited = int(facts["last_failure"]) - int(facts["first_failure"])
    assert 70_000 <= waited < 72_000


@in_virtual_time
async def test_retries_at_once_are_made_after_each_delay_too() -> None:
    calls = Calls({b"a": 99})
    policy = retry(2, then=retry_later([10], then=drop()), backoff=Backoff(0.001))
    made = topology(calls, policy)
    broker = await topics(made)
    stage = service(broker, made)
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await until(lambda: stage.metrics[0].dropped == 1, seconds=60)
    assert len(calls.at) == 6
    assert [attempt for _, _, attempt, _ in calls.seen] == [1, 2, 3, 4, 5, 6]
    assert stage.metrics[0].retries == 4


@in_virtual_time
async def test_later_records_of_the_key_go_on_meanwhile() -> None:
    calls = Calls({b"0": 1})
    made = topology(calls)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", *((b"k", b"%d" % n) for n in range(5)))
        await until_done(broker, ("p-out", 5))
    assert broker.values("p-out") == [b"1", b"2", b"3", b"4", b"0"]


@in_virtual_time
async def test_records_come_back_in_the_order_in_which_they_are_due() -> None:
    values = [b"%d" % n for n in range(40)]
    calls = Calls(dict.fromkeys(values, 1))
    made = topology(calls)
    broker = await topics(made)
    async with running(service(broker, made)):
        for value in values:
            await broker.write("p-in", (b"k", value))
            await asyncio.sleep(0.3)
        await until_done(broker, ("p-out", len(values)))
    assert broker.values("p-out") == values
    for value in values:
        first, second = calls.times(value)
        assert 10 <= round(second - first, 3) < 10 + SLACK


@in_virtual_time
async def test_the_records_fault_is_a_dead_letter_at_once() -> None:
    calls = Calls({b"a": 9}, error=lambda: Permanent("never"))
    made = topology(calls)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"))
        await until_done(broker, ("p.stage.dlq", 1), seconds=2)
    assert error_headers(broker.records("p.stage.dlq")[0])["reason"] == "permanent"
    assert broker.values(TEN) == []


@in_virtual_time
async def test_an_exception_can_have_delays_of_its_own() -> None:
    calls = Calls({b"a": 1}, error=lambda: KeyError("gone"))
    policy = dead_letter().on({KeyError: retry_later([60]), OSError: retry_later([10])})
    made = topology(calls, policy)
    assert [topic.name for topic in made.segments[0].steps[0].retry_topics] == [TEN, MINUTE]
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"))
        await until_done(broker, ("p-out", 1))
    assert (broker.values(TEN), broker.values(MINUTE)) == ([], [b"a"])


@in_virtual_time
async def test_it_can_stop_after_the_last_delay_at_the_record_that_waited() -> None:
    calls = Calls({b"a": 9})
    made = topology(calls, retry_later([10], then=stop()))
    broker = await topics(made)
    await broker.write("p-in", (b"k", b"a"))
    with pytest.raises(StageStoppedError, match="its policy says stop") as raised:
        await service(broker, made).run()
    assert raised.value.partition == TopicPartition(TEN, 0)
    calls.failures.clear()
    async with running(service(broker, made)):
        await until_done(broker, ("p-out", 1))


@in_virtual_time
async def test_a_restart_keeps_the_time_at_which_a_record_is_due() -> None:
    calls = Calls({b"a": 1})
    made = topology(calls)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"))
        await until_done(broker, (TEN, 1))
        await asyncio.sleep(4)
    async with running(service(broker, made)):
        await until_done(broker, ("p-out", 1))
    first, second = calls.times(b"a")
    assert 10 <= second - first < 10 + SLACK


@in_virtual_time
async def test_a_rebalance_keeps_it_too_and_the_member_stays_in_its_group() -> None:
    calls = Calls({b"a": 1})
    made = topology(calls)
    broker = await topics(made, partitions=2)
    config = RuntimeConfig(session_timeout_seconds=6)
    first = service(broker, made, config=config)
    async with running(first):
        await broker.write("p-in", (b"k", b"a"))
        await until(lambda: first.metrics[0].retried_later == 1, seconds=5)
        await asyncio.sleep(4)
        async with running(service(broker, made, config=config)):
            await until(lambda: first.metrics[0].rebalances == 2, seconds=5)
            await until(lambda: len(calls.at) == 2, seconds=20)
    before, after = calls.times(b"a")
    assert 10 <= after - before < 10 + SLACK


@in_virtual_time
async def test_a_replay_keeps_it_and_reads_what_was_before_the_head_at_once() -> None:
    values = [b"a", b"b"]
    calls = Calls(dict.fromkeys(values, 1))
    made = topology(calls)
    broker = await topics(made)
    stage = service(broker, made)
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await asyncio.sleep(5)
        await broker.write("p-in", (b"k", b"b"))
        broker.fail_batches["p-out"] = 1  # that of `a` when it is due
        await until_done(broker, ("p-out", 2))
    assert stage.metrics[0].producer_replacements == 1
    assert broker.values("p-out") == values
    again = calls.times(b"a")
    assert again[2] - again[1] < 3  # it did not wait for `b`, which is due five seconds later
    assert calls.times(b"b")[1] - calls.times(b"b")[0] >= 10


@in_virtual_time
async def test_a_record_that_was_moved_but_not_committed_is_moved_again_and_never_lost() -> None:
    calls = Calls({b"a": 2})
    made = topology(calls)
    broker = await topics(made)
    broker.commits_refused = True
    task = asyncio.create_task(service(broker, made).run())
    await broker.write("p-in", (b"k", b"a"))
    await until_done(broker, (TEN, 1))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    broker.commits_refused = False
    async with running(service(broker, made)):
        await until_done(broker, (TEN, 2), ("p-out", 2))
    assert broker.values("p-out") == [b"a", b"a"]


@in_virtual_time
async def test_the_offset_is_not_committed_before_the_retry_topic_has_the_record() -> None:
    calls = Calls({b"a": 1})
    made = topology(calls)
    broker = await topics(made)
    broker.held[TEN] = asyncio.Event()
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"))
        await until(lambda: broker.fired["held"] == 1)
        await asyncio.sleep(5)
        assert await broker.committed("p.stage") == 0
        broker.held.pop(TEN).set()
        await until_done(broker, (TEN, 1), ("p-out", 1))


@in_virtual_time
async def test_an_outage_holds_records_and_does_not_fill_the_retry_topics() -> None:
    down = True

    @agent
    def calls(value: bytes) -> bytes:
        if down:
            raise OSError("down")
        return value

    made = one_stage(calls, BOTH)
    broker = await broker_with(*made.topics())
    stage = service(broker, made)
    async with running(stage):
        await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(300)))
        await until(lambda: stage.metrics[0].held_since is not None)
        await asyncio.sleep(300)
        moved = broker.values(TEN)
        assert len(moved) <= 20
        assert broker.values(MINUTE) == broker.values("p.stage.dlq") == []
        down = False
        await until_done(broker, ("p-out", 300))
    assert Counter(broker.values("p-out")) == Counter(b"%d" % n for n in range(300))


@in_virtual_time
async def test_a_stage_that_only_waits_is_healthy_and_tells_how_many_wait() -> None:
    calls = Calls({b"a": 1})
    made = topology(calls, retry_later([600]))
    broker = await topics(made)
    stage = service(broker, made)
    [metrics] = stage.metrics
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await until(lambda: metrics.lag_records == 1, seconds=5)
        reasons = set()
        while not broker.values("p-out"):
            health = stage_health(metrics, loop().time(), 5.0)
            assert health.ok, health.reason
            reasons.add(health.reason)
            await asyncio.sleep(0.1)
        assert "running, 1 records wait for their retry" in reasons
        await broker.write("p-in", (b"k", b"b"))
        await until(lambda: len(broker.values("p-out")) == 2)
        assert stage_health(metrics, loop().time(), 5.0).ok


@in_virtual_time
async def test_a_retry_that_hangs_is_still_a_stall() -> None:
    calls = Calls({b"a": 1})
    hanging = asyncio.Event()

    @agent
    async def hangs(value: bytes) -> bytes:
        if calls.times(value):
            await hanging.wait()
        return calls.call(value)

    made = one_stage(hangs, retry_later([60]), breaker=None, timeout_seconds=600)
    broker = await topics(made)
    stage = service(broker, made)
    [metrics] = stage.metrics
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await until_done(broker, ("p.stage.retry-1m", 1))
        await asyncio.sleep(62)
        assert stage_health(metrics, loop().time(), 5.0).ok
        await asyncio.sleep(6)
        assert not stage_health(metrics, loop().time(), 5.0).ok
        hanging.set()


@in_virtual_time
async def test_a_retry_that_hangs_is_a_stall_although_a_later_record_waits() -> None:
    failed: set[bytes] = set()
    hanging = asyncio.Event()

    @agent
    async def hangs(value: bytes) -> bytes:
        if value in failed:
            await hanging.wait()
        failed.add(value)
        raise ValueError("at first")

    made = one_stage(hangs, retry_later([60]), breaker=None, timeout_seconds=600)
    broker = await topics(made)
    stage = service(broker, made)
    [metrics] = stage.metrics
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await asyncio.sleep(50)
        await broker.write("p-in", (b"k", b"b"))
        await asyncio.sleep(12)
        assert stage_health(metrics, loop().time(), 5.0).ok
        await asyncio.sleep(8)
        assert not stage_health(metrics, loop().time(), 5.0).ok
        hanging.set()


@in_virtual_time
async def test_work_up_to_the_end_waits_for_what_is_retried_later() -> None:
    calls = Calls({b"a": 9, b"b": 1, b"c": 2}, error=lambda: OSError("down"))
    made = one_stage(calls.agent, BOTH)
    broker = await topics(made)
    await broker.write("p-in", *((b"k", one) for one in (b"a", b"b", b"c", b"d")))
    await service(broker, made).run(until_end=True)
    assert broker.values("p-out") == [b"d", b"b", b"c"]
    assert broker.values("p.stage.dlq") == [b"a"]
    assert 70 <= loop().time() < 75


@in_virtual_time
async def test_work_up_to_the_end_waits_for_however_many_are_retried_later() -> None:
    values = [b"%d" % n for n in range(200)]
    calls = Calls(dict.fromkeys(values, 1))
    made = topology(calls)
    broker = await topics(made)
    await broker.write("p-in", *((value, value) for value in values))
    await service(broker, made).run(until_end=True)
    assert Counter(broker.values("p-out")) == Counter(values)


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
async def test_a_record_behind_which_too_many_wait_is_retried_later() -> None:
    calls = Calls({b"0": 99})
    policy = retry(5, then=retry_later([10], then=drop()), backoff=Backoff(100, max_seconds=100))
    made = topology(calls, policy, max_key_backlog_records=10)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", *((b"k", b"%d" % n) for n in range(30)))
        await until_done(broker, (TEN, 1), ("p-out", 29), seconds=9)
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_one_that_came_back_is_retried_later_after_its_next_delay_if_others_wait() -> None:
    calls = Calls(dict.fromkeys((b"%d" % n for n in range(21)), 99))
    policy = retry(5, then=BOTH, backoff=Backoff(100, max_seconds=100))
    made = topology(calls, policy, max_key_backlog_records=10)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", *((b"k", b"%d" % n) for n in range(21)))
        await until_done(broker, (TEN, 11), (MINUTE, 1), seconds=20)
        assert broker.values(MINUTE) == [b"0"]
        assert broker.values(TEN) == [b"%d" % n for n in range(11)]


@in_virtual_time
async def test_a_record_that_came_back_has_its_retries_although_others_wait_behind_it() -> None:
    calls = 0

    @agent
    async def fails(value: bytes) -> bytes:
        nonlocal calls
        if loop().time() < 9:
            raise LookupError("not yet")
        await asyncio.sleep(2 if value == b"0" else 0)
        calls += value == b"0"
        if value == b"0" and calls == 1:
            raise LookupError("once more")
        return value

    policy = retry(2, then=retry_later([10]), backoff=Backoff(0.01))
    made = one_stage(fails, policy, breaker=None, max_key_backlog_records=20)
    broker = await broker_with(*made.topics())
    async with running(service(broker, made)):
        await broker.write("p-in", *((b"k", b"%d" % n) for n in range(60)))
        await until_done(broker, ("p-out", 60))
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_records_that_came_back_are_not_taken_for_failing_when_much_is_in_flight() -> None:
    attempts: Counter[bytes] = Counter()

    @batch_agent(size=10, linger_seconds=0.01)
    async def fails(values: list[bytes]) -> list[bytes | Exception]:
        attempts.update(values)
        await asyncio.sleep(1 if len(values) == 1 else 0)
        return [ValueError("not yet") if attempts[one] <= 4 else one for one in values]

    policy = retry(2, then=retry_later([10]), backoff=Backoff(0.01))
    made = one_stage(fails, policy, breaker=None, max_in_flight_records=100, concurrency=4)
    broker = await broker_with(*made.topics())
    async with running(service(broker, made)):
        await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(80)))
        await until_done(broker, ("p-out", 80))
    assert broker.values("p.stage.dlq") == []


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


@in_virtual_time
async def test_a_lone_record_of_an_outage_waits_for_another_after_its_last_delay_too() -> None:
    calls = Calls({b"a": 99}, error=lambda: OSError("down"))
    made = one_stage(calls.agent, retry_later([10]))
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"before"))
        await asyncio.sleep(20)
        await broker.write("p-in", (b"k", b"a"))
        await asyncio.sleep(100)
        assert broker.values("p.stage.dlq") == []
        await broker.write("p-in", (b"k", b"b"))
        await until_done(broker, ("p.stage.dlq", 1))


@in_virtual_time
async def test_a_record_of_an_outage_ends_if_others_succeed_after_it_has_come_back() -> None:
    calls = Calls({b"a": 99}, error=lambda: OSError("down"))
    made = one_stage(calls.agent, retry_later([10]))
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"))
        await asyncio.sleep(5)
        await broker.write("p-in", (b"k", b"b"))  # the outage may have begun anew since
        await asyncio.sleep(15)
        assert broker.values("p.stage.dlq") == []
        await broker.write("p-in", (b"k", b"c"))
        await until_done(broker, ("p.stage.dlq", 1), seconds=20)


@in_virtual_time
async def test_an_outage_that_begins_while_records_wait_makes_no_dead_letters_of_them() -> None:
    world: Exception | None = None

    @agent
    def calls(value: bytes) -> bytes:
        if world is not None:
            raise world
        if int(value) % 5 < 2 and loop().time() < 5:
            raise LookupError("not yet")
        return value

    made = one_stage(calls, retry_later([10]))
    broker = await broker_with(*made.topics())
    stage = service(broker, made)
    async with running(stage):
        await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(300)))
        await until_done(broker, ("p-out", 180), (TEN, 120))
        await asyncio.sleep(5)
        world = OSError("down")
        await asyncio.sleep(60)
        assert stage.metrics[0].held_since is not None
        world = None
        await until_done(broker, ("p-out", 300))
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_a_hold_forgets_no_attempt_that_was_made_before_the_delay() -> None:
    errors: list[Exception] = [ValueError("first"), OSError("down"), ValueError("last")]
    down = False

    @agent
    async def slow(value: bytes) -> bytes:
        if value == b"a":
            error = errors.pop(0)
            await asyncio.sleep(5 if isinstance(error, OSError) else 0)
            raise error
        if down:
            raise OSError("down")
        return value

    made = one_stage(slow, retry_later([10]))
    broker = await topics(made)
    stage = service(broker, made)
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await asyncio.sleep(11)
        down = True
        await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(50)))
        await until(lambda: stage.metrics[0].held_since is not None)
        await until(lambda: len(errors) == 1)
        await asyncio.sleep(6)
        down = False
        await until_done(broker, ("p.stage.dlq", 1), ("p-out", 50))
    [letter] = broker.records("p.stage.dlq")
    assert (error_headers(letter)["attempts"], error_headers(letter)["message"]) == ("2", "last")


@in_virtual_time
async def test_a_partition_is_paused_while_it_waits_and_only_then() -> None:
    calls = Calls({b"a": 1})
    made = topology(calls)
    broker = await topics(made)
    asked: list[tuple[str, int, float]] = []
    make = broker.consumer

    def consumer(config: ConsumerConfig, listener: RebalanceListener) -> MemoryConsumer:
        made = make(config, listener)
        pause, resume = made.pause, made.resume

        def paused(*places: TopicPartition) -> None:
            asked.extend(("pause", place.partition, loop().time()) for place in places)
            pause(*places)

        def resumed(*places: TopicPartition) -> None:
            asked.extend(("resume", place.partition, loop().time()) for place in places)
            resume(*places)

        made.pause, made.resume = paused, resumed  # type: ignore[method-assign]  # to look on
        return made

    broker.consumer = consumer  # type: ignore[method-assign]  # the same
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"))
        await until_done(broker, ("p-out", 1))
    assert [what for what, _, _ in asked] == ["pause", "resume"]
    assert asked[1][2] == pytest.approx(10, abs=SLACK)
