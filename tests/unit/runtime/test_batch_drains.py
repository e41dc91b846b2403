"""Batches when a stage shuts down, begins anew or loses a partition."""

import asyncio
from typing import Any

import pytest

from streamapp.pipeline.agent import agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, retry, stop
from streamapp.record import TopicPartition
from streamapp.runtime.config import RuntimeConfig
from streamapp.topics.topic import Topic
from tests.unit.runtime.batch_calls import LATER, Calls, numbered, until, written
from tests.unit.runtime.faults import running
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service


@in_virtual_time
async def test_a_shutdown_does_not_wait_for_others_and_leaves_what_waits_to_the_next_run() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(5)))
    topology = one_stage(calls.agent(4))
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 4)
        stopped_at = loop().time()
    assert loop().time() - stopped_at < 1
    assert calls.batches == [[b"0", b"1", b"2", b"3"]]
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 5)
    assert calls.batches[1:] == [[b"4"]]


@in_virtual_time
async def test_a_shutdown_finishes_the_batch_at_work() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(4)))
    stage = service(broker, one_stage(calls.agent(4, seconds=5)))
    async with running(stage):
        await until(lambda: len(calls.batches) == 1)
    assert len(broker.values("p-out")) == 4
    assert len(calls.batches) == 1


@pytest.mark.parametrize("policy", [stop(), retry(1, backoff=LATER)], ids=["stop", "retry"])
@in_virtual_time
async def test_within_a_drain_nothing_overtakes_a_record_of_its_key_that_fails(
    policy: Policy,
) -> None:
    broker, calls, tried = await broker_for("p"), Calls(), list[bytes]()

    @agent
    def once(value: bytes) -> bytes:
        tried.append(value)
        if value == b"2" and tried.count(value) == 1:
            raise LookupError("not yet")
        return value

    await broker.create("p.once.dlq")
    await broker.write("p-in", *numbered(*range(5), keys=1))
    pipeline = Pipeline("p", source=Topic("p-in", bytes)).stage(
        calls.agent(5, seconds=1), name="stage"
    )
    fused = pipeline.stage(once, fused=True, on_error=policy).sink("p-out")
    stage = service(broker, build(fused))
    task = asyncio.create_task(stage.run())
    await until(lambda: len(calls.batches) == 1)
    stage.stop()
    await asyncio.gather(task, return_exceptions=True)
    outputs = broker.values("p-out")
    assert outputs[:2] == [b"0", b"1"]
    assert outputs == [b"%d" % n for n in range(len(outputs))]


@in_virtual_time
async def test_a_batch_that_does_not_end_in_time_is_cancelled_and_read_again() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(4)))
    config = RuntimeConfig(shutdown_drain_seconds=1)
    async with running(service(broker, one_stage(calls.agent(4, seconds=300)), config=config)):
        await until(lambda: len(calls.batches) == 1)
    assert broker.values("p-out") == []
    async with running(service(broker, one_stage(calls.agent(4)))):
        await until(lambda: len(broker.values("p-out")) == 4)


@in_virtual_time
async def test_a_retry_within_a_drain_does_not_wait_for_others() -> None:
    broker, calls, tries = await broker_for("p"), Calls(), list[bytes]()
    await broker.write("p-in", *numbered(*range(2)))

    def answer(value: bytes) -> Any:
        tries.append(value)
        return OSError("busy") if value == b"0" and tries.count(value) == 1 else value

    policy = retry(1, backoff=Backoff(base_seconds=1, max_seconds=1))
    stage = service(broker, one_stage(calls.agent(2, seconds=2, answer=answer), policy))
    async with running(stage):
        await until(lambda: len(calls.batches) == 1)
    assert written(broker) == [b"0", b"1"]


@in_virtual_time
async def test_a_replay_begins_batches_anew_and_loses_nothing() -> None:
    broker, calls = await broker_for("p"), Calls()
    broker.fail_batches["p-out"] = 1
    await broker.write("p-in", *numbered(*range(6)))
    async with running(service(broker, one_stage(calls.agent(4, 20, seconds=1)))):
        await until(lambda: len(set(broker.values("p-out"))) == 6)
    assert broker.fired["p-out"] == 1
    assert written(broker) == [b"%d" % n for n in range(6)]


@pytest.mark.parametrize("is_retried", [False, True], ids=["first attempt", "retry"])
@in_virtual_time
async def test_when_one_partition_begins_anew_the_records_of_others_are_tried_again(
    *, is_retried: bool
) -> None:
    broker, batches = await broker_for("p", partitions=2), list[list[bytes]]()

    @batch_agent(size=5, linger_seconds=30)
    async def hangs_once(values: list[bytes]) -> list[bytes | Exception]:
        batches.append(values)
        is_first = sum(len(batch) == 5 for batch in batches) == 1
        await asyncio.sleep(600 if len(values) == 5 and is_first else 0)
        return [OSError("busy") if len(values) == 1 else value for value in values]

    topology = one_stage(hangs_once, retry(1, backoff=LATER), breaker=None, timeout_seconds=1000)
    stage = service(broker, topology)
    async with running(stage):
        await broker.write("p-in", (b"a", b"1"), partition=1)
        if is_retried:
            await until(lambda: batches == [[b"1"]])
            await asyncio.sleep(1)
        others = [(b"b", b"2"), (b"b", b"3"), (None, b"4")]
        await broker.write("p-in", *others, partition=1)
        await broker.write("p-in", (b"c", b"0"))
        await until(lambda: len(batches[-1:]) > 0 and len(batches[-1]) == 5)
        began = loop().time()
        # As when a position is lost because the log was cut off and written anew.
        stage._running[0]._runner._assignment.restart_at(TopicPartition("p-in", 0), 0)
        await until(lambda: sum(len(broker.values("p-out", n)) for n in range(2)) == 5)
        assert loop().time() - began < 60, "the call was cancelled"
    outputs = [value for n in range(2) for value in broker.values("p-out", n)]
    assert sorted(value or b"" for value in outputs) == [b"0", b"1", b"2", b"3", b"4"]
    assert outputs.index(b"2") < outputs.index(b"3")
    assert [len(batch) for batch in batches] == [1, 5, 5] if is_retried else [5, 5]


@in_virtual_time
async def test_another_member_takes_over_what_waits() -> None:
    broker, calls = await broker_for("p", partitions=2), Calls()
    topology = one_stage(calls.agent(3, 20, seconds=1))
    stage = service(broker, topology)
    async with running(stage):
        for partition in range(2):
            await broker.write("p-in", *numbered(partition), partition=partition)
        await asyncio.sleep(5)
        assert calls.batches == []
        async with running(service(broker, topology)):
            await until(lambda: stage.metrics[0].rebalances == 2)
            await until(lambda: sum(map(len, calls.batches)) == 2)
    assert sorted(value for batch in calls.batches for value in batch) == [b"0", b"1"]
