"""What becomes of failed records, and what an operator is told of them."""

import asyncio
import logging

import pytest

from streamapp.errors import StageStoppedError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, drop, retry, stop
from streamapp.record import TopicPartition
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.virtual import broker_for, broker_with, in_virtual_time, one_stage, service


@agent
def fail_as_told(value: bytes) -> bytes:
    raise type(value.decode(), (Exception,), {})("told")


@in_virtual_time
async def test_the_first_dead_letter_of_each_of_a_hundred_causes_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_for("p")
    causes = [b"Cause%d" % n for n in range(102)]
    await broker.write("p-in", *((b"k", cause) for cause in causes for _ in range(2)))
    with caplog.at_level(logging.WARNING, "streamapp.runtime.failures"):
        await service(broker, one_stage(fail_as_told)).run(until_end=True)
    assert len(broker.values("p.stage.dlq")) == 204
    told = [text for text in caplog.messages if "first dead letter" in text]
    named = [text.rpartition(": ")[2].partition(" at ")[0] for text in told]
    assert named == [cause.decode() for cause in causes[:100]]


@in_virtual_time
async def test_an_error_that_says_stop_is_told_with_its_record_and_its_cause() -> None:
    broker = await broker_for("p")

    @agent
    def fail_at_two(value: bytes) -> bytes:
        if value == b"2":
            raise OSError("broken")
        return value

    await broker.write("p-in", (b"k", b"1"), (b"k", b"2"))
    with pytest.raises(StageStoppedError, match=r"its policy says stop: OSError in .*broken") as at:
        await service(broker, one_stage(fail_at_two, stop())).run()
    stopped = at.value
    assert stopped.stage_id == "stage"
    assert (stopped.partition, stopped.offset) == (TopicPartition("p-in", 0), 1)
    assert isinstance(stopped.original_error, OSError)
    assert stopped.__cause__ is stopped.original_error


@in_virtual_time
async def test_of_several_inputs_of_a_fused_stage_each_that_fails_is_a_dead_letter() -> None:
    broker = await broker_with("in", "out", "p.split.dlq", "p.check.dlq")

    @agent(name="split")
    def split(value: bytes) -> list[Out[bytes]]:
        return [Out(part, key=part) for part in value.split()]

    @agent(name="check")
    def check(value: bytes) -> bytes:
        if value.startswith(b"bad"):
            raise ValueError(value)
        return value

    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(split, on_error=dead_letter())
    stages = build(pipeline.stage(check, fused=True, on_error=dead_letter()).sink("out"))
    await broker.write("in", (b"k", b"1 bad2 3 bad4"), (b"k", b"bad5"))
    stage = service(broker, stages)
    await stage.run(until_end=True)
    assert broker.values("out") == [b"1", b"3"]
    assert broker.values("p.check.dlq") == [b"bad2", b"bad4", b"bad5"]
    first, second = stage.metrics
    assert (first.dead_lettered, second.dead_lettered) == (0, 3)
    assert sum(second.dead_letters.values()) == 3


@in_virtual_time
async def test_attempts_are_counted_in_the_dead_letter_and_a_timeout_is_one() -> None:
    broker = await broker_for("p")

    @agent
    async def hang(_value: bytes) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    await broker.write("p-in", (b"k", b"1"))
    policy = retry(2, backoff=Backoff(base_seconds=1))
    stage = service(broker, one_stage(hang, policy, timeout_seconds=1))
    await stage.run(until_end=True)
    assert error_headers(broker.records("p.stage.dlq")[0])["attempts"] == "3"
    [metrics] = stage.metrics
    assert (metrics.timeouts, metrics.retries, metrics.dead_lettered) == (3, 2, 1)


@in_virtual_time
async def test_a_dropped_record_is_counted_and_leaves_nothing() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"Cause"), (b"k", b"Cause"))
    stage = service(broker, one_stage(fail_as_told, drop()))
    await stage.run(until_end=True)
    assert stage.metrics[0].dropped == 2
    assert broker.values("p-out") == broker.values("p.stage.dlq") == []
    assert await broker.committed("p.stage") == 2
