"""A record that is retried later waits in a topic, and comes back when it is due, not before."""

import asyncio

import pytest

from streamapp.errors import Permanent, StageStoppedError
from streamapp.observability.stage_metrics import Outcome
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, drop, retry, retry_later, stop
from streamapp.record import Record, TopicPartition
from streamapp.runtime.config import RuntimeConfig
from tests.contract.pipelines import error_headers
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.later import (
    BOTH,
    MINUTE,
    SENT_MS,
    SLACK,
    TEN,
    Calls,
    topics,
    topology,
    until_done,
)
from tests.unit.runtime.virtual import in_virtual_time, service


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
