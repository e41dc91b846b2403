"""What fails in a batch, and what of the batch is tried again."""

import asyncio
from typing import Any

import pytest

from streamapp.errors import Permanent
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry, retry_later
from streamapp.topics.topic import Topic
from tests.unit.runtime.batch_calls import LATER, Calls, numbered, run_to_end, until, written
from tests.unit.runtime.faults import running
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service


@in_virtual_time
async def test_one_bad_record_does_not_fail_its_batch() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(5)))

    def answer(value: bytes) -> Any:
        return {b"1": Permanent("one"), b"3": None}.get(value, value)

    stage = service(broker, one_stage(calls.agent(5, answer=answer), retry(3)))
    await run_to_end(stage)
    assert broker.values("p-out") == [b"0", b"2", b"4"]
    assert broker.values("p.stage.dlq") == [b"1"]
    [metrics] = stage.metrics
    assert (metrics.processed, metrics.filtered, metrics.dead_lettered) == (3, 1, 1)
    assert metrics.dead_letters[DeadLetterReason.PERMANENT] == 1
    assert metrics.batch_records is not None
    assert metrics.batch_records.total == 5
    assert metrics.batch_records.unit_seconds == 1
    assert sum(metrics.attempt_duration.counts) == 5
    assert metrics.failed_batches == 0


@in_virtual_time
async def test_a_record_that_does_not_decode_is_not_in_the_batch() -> None:
    broker, seen = await broker_for("p"), list[list[int]]()

    @batch_agent(size=3)
    async def noted(values: list[int]) -> list[int]:
        seen.append(values)
        return values

    await broker.write("p-in", (b"a", b"1"), (b"b", b"one"), (b"c", b"3"))
    topology = build(
        Pipeline("p", source=Topic("p-in", int)).stage(noted, name="stage").sink("p-out")
    )
    await run_to_end(service(broker, topology))
    assert seen == [[1, 3]]
    assert broker.values("p.stage.dlq") == [b"one"]


@in_virtual_time
async def test_when_a_call_raises_each_record_is_tried_alone_and_only_the_bad_one_fails() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(4)))

    def fail(values: list[bytes]) -> Exception | None:
        return ValueError("two") if b"2" in values else None

    stage = service(broker, one_stage(calls.agent(4, fail=fail, seconds=1)))
    await run_to_end(stage)
    assert [len(batch) for batch in calls.batches] == [4, 1, 1, 1, 1]
    assert calls.times == [0, 1, 1, 1, 1]
    assert written(broker) == [b"0", b"1", b"3"]
    assert broker.values("p.stage.dlq") == [b"2"]
    [metrics] = stage.metrics
    assert metrics.failed_batches == 1
    assert metrics.dead_lettered == 1
    assert sum(metrics.attempt_duration.counts) == 4  # that of the batch was no attempt of a record


@in_virtual_time
async def test_when_a_call_fails_through_the_world_its_records_are_tried_alone_later() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(4)))
    failures = [OSError("busy")]

    def fail(_values: list[bytes]) -> Exception | None:
        return failures.pop() if failures else None

    policy = retry(1, backoff=Backoff(base_seconds=10, max_seconds=100))
    await run_to_end(service(broker, one_stage(calls.agent(4, fail=fail), policy)))
    assert calls.times == [0, 10, 10, 10, 10]
    assert [len(batch) for batch in calls.batches] == [4, 1, 1, 1, 1]
    assert written(broker) == [b"0", b"1", b"2", b"3"]


@in_virtual_time
async def test_a_wrong_number_of_results_is_a_fault_of_each_record_that_has_it_alone() -> None:
    broker = await broker_for("p")

    @batch_agent(size=3)
    async def without_odd(values: list[int]) -> list[int]:
        return [value for value in values if value % 2 == 0]

    await broker.write("p-in", *((b"%d" % n, b"%d" % n) for n in range(3)))
    topology = build(
        Pipeline("p", source=Topic("p-in", int)).stage(without_odd, name="stage").sink("p-out")
    )
    stage = service(broker, topology)
    await run_to_end(stage)
    assert written(broker) == [b"0", b"2"]
    assert broker.values("p.stage.dlq") == [b"1"]
    assert stage.metrics[0].dead_letters[DeadLetterReason.OUTPUT] == 1


@in_virtual_time
async def test_a_retry_holds_its_key_only_and_what_stood_behind_it_is_tried_after_it() -> None:
    broker, calls, tried = await broker_for("p"), Calls(), list[bytes]()
    await broker.write("p-in", (b"a", b"a1"), (b"b", b"b1"), (b"a", b"a2"), (b"b", b"b2"))

    def answer(value: bytes) -> Any:
        tried.append(value)
        return OSError("busy") if tried.count(b"a1") == 1 and value == b"a1" else value

    policy = retry(1, backoff=LATER)
    async with running(service(broker, one_stage(calls.agent(4, 1, answer=answer), policy))):
        await until(lambda: broker.values("p-out") == [b"b1", b"b2"])
        assert loop().time() < 1
        await broker.write("p-in", (b"b", b"b3"), (b"a", b"a3"))
        await until(lambda: b"b3" in broker.values("p-out"))
        assert loop().time() < 3
        await until(lambda: len(broker.values("p-out")) == 6)
    assert broker.values("p-out") == [b"b1", b"b2", b"b3", b"a1", b"a2", b"a3"]
    assert tried == [b"a1", b"b1", b"a2", b"b2", b"b3", b"a1", b"a2", b"a3"]


@in_virtual_time
async def test_items_that_failed_alone_are_tried_again_in_batches() -> None:
    broker, calls, busy = await broker_for("p"), Calls(), [True] * 3
    await broker.write("p-in", *numbered(*range(3)))

    def answer(value: bytes) -> Any:
        return OSError("busy") if busy and busy.pop() else value

    policy = retry(1, backoff=LATER)
    await run_to_end(service(broker, one_stage(calls.agent(3, answer=answer), policy)))
    assert [len(batch) for batch in calls.batches] == [3, 3]
    assert written(broker) == [b"0", b"1", b"2"]


@in_virtual_time
async def test_a_timeout_is_that_of_the_call_and_takes_no_neighbour_down() -> None:
    broker, cancelled = await broker_for("p"), list[list[bytes]]()
    await broker.write("p-in", *numbered(*range(3)))

    @batch_agent(size=3)
    async def slow(values: list[bytes]) -> list[bytes]:
        try:
            await asyncio.sleep(600 if b"1" in values else 0)
        except asyncio.CancelledError:
            cancelled.append(values)
            raise
        return values

    stage = service(broker, one_stage(slow, timeout_seconds=5, breaker=None))
    await run_to_end(stage)
    assert cancelled == [[b"0", b"1", b"2"], [b"1"]]
    assert written(broker) == [b"0", b"2"]
    assert broker.values("p.stage.dlq") == [b"1"]
    assert stage.metrics[0].dead_letters[DeadLetterReason.TIMEOUT] == 1
    assert stage.metrics[0].timeouts == 2


@in_virtual_time
async def test_a_record_that_makes_each_call_time_out_ends_as_a_dead_letter() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", *numbered(*range(100)))

    @batch_agent(size=50, linger_seconds=1)
    async def stuck(values: list[bytes]) -> list[bytes]:
        await asyncio.sleep(600 if b"7" in values else 0.1)
        return values

    stage = service(broker, one_stage(stuck, retry(2), timeout_seconds=5))
    async with running(stage):
        await until(lambda: len(broker.values("p-out")) == 99)
        for n in range(100, 110):  # as long as nothing else succeeds, it may be the world's fault
            await broker.write("p-in", *numbered(n))
            await asyncio.sleep(10)
    assert broker.values("p.stage.dlq") == [b"7"]
    assert len(broker.values("p-out")) == 109


@in_virtual_time
async def test_what_comes_back_from_a_retry_topic_is_tried_alone() -> None:
    broker, calls, tried = await broker_for("p"), Calls(), list[bytes]()
    await broker.create("p.stage.retry-10s", "p.stage.retry-1m")
    await broker.write("p-in", *numbered(*range(4)))

    def answer(value: bytes) -> Any:
        tried.append(value)
        fails = value in {b"1", b"2"} and tried.count(value) < 3
        return ValueError(value.decode()) if fails or value == b"3" else value

    stage = service(broker, one_stage(calls.agent(4, 1, answer=answer), retry_later([10, 60])))
    async with running(stage):
        await until(lambda: len(broker.values("p-out")) == 3)
        await until(lambda: broker.values("p.stage.dlq") == [b"3"])
    assert [len(batch) for batch in calls.batches] == [4, 1, 1, 1, 1, 1, 1]
    assert calls.times == pytest.approx([0, 10, 10, 10, 70, 70, 70], abs=1.5)
    assert written(broker) == [b"0", b"1", b"2"]
