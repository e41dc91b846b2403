"""Batches when a stage stops or holds its records."""

import asyncio
from typing import Any

import pytest

from streamapp.errors import Permanent, StageStoppedError, Transient
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry, stop
from tests.unit.runtime.batch_calls import Calls, numbered, run_to_end, until, written
from tests.unit.runtime.faults import running
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service


@in_virtual_time
async def test_the_policy_stop_finishes_what_stands_before_the_record_and_nothing_behind() -> None:
    broker, calls = await broker_for("p"), Calls()

    def answer(value: bytes) -> Any:
        return Permanent("three") if value == b"3" else value

    await broker.write("p-in", *numbered(*range(3)), *numbered(*range(3, 7)))
    stage = service(broker, one_stage(calls.agent(5, answer=answer), stop()))
    with pytest.raises(StageStoppedError) as stopped:
        await run_to_end(stage)
    assert stopped.value.offset == 3
    assert broker.values("p-out")[:3] == [b"0", b"1", b"2"]


@in_virtual_time
async def test_what_waits_for_others_before_the_record_that_says_stop_is_worked_on_at_once() -> (
    None
):
    broker, calls = await broker_for("p"), Calls()

    def answer(value: bytes) -> Any:
        if value == b"3":
            return Permanent("three")
        return OSError("busy") if value == b"0" and len(calls.batches) == 1 else value

    seconds = [0.0, 5.0, 0.0]

    @batch_agent(size=2, linger_seconds=30)
    async def called(values: list[bytes]) -> list[bytes | Exception]:
        calls.batches.append(values)
        calls.times.append(round(loop().time(), 3))
        answers = [answer(value) for value in values]
        await asyncio.sleep(seconds.pop(0))
        return answers

    await broker.write("p-in", *numbered(*range(4)))
    policy = retry(1, backoff=Backoff(base_seconds=1), then=stop())
    stage = service(broker, one_stage(called, policy, concurrency=2))
    with pytest.raises(StageStoppedError) as stopped:
        await run_to_end(stage)
    assert stopped.value.offset == 3
    assert written(broker) == [b"0", b"1", b"2"]
    assert calls.batches == [[b"0", b"1"], [b"2", b"3"], [b"0"]]
    assert calls.times == pytest.approx([0, 0, 5], abs=0.3)


@in_virtual_time
async def test_a_key_that_is_given_up_has_one_last_attempt_at_once_and_what_is_behind_it_none() -> (
    None
):
    broker, calls = await broker_for("p"), Calls()

    def answer(value: bytes) -> Any:
        return OSError("busy") if value.startswith(b"bad") else value

    patient = retry(1000, backoff=Backoff(base_seconds=3600, max_seconds=3600))
    topology = one_stage(
        calls.agent(2, 5, answer=answer), patient, breaker=None, max_key_backlog_records=3
    )
    async with running(service(broker, topology)):
        await broker.write("p-in", (b"bad", b"bad0"))
        await until(lambda: len(calls.batches) == 1)
        await asyncio.sleep(1)
        written_at = loop().time()
        await broker.write("p-in", *((b"bad", b"bad%d" % n) for n in range(1, 4)))
        await until(lambda: len(broker.values("p.stage.dlq")) == 4)
        assert calls.times[1] == pytest.approx(written_at, abs=0.3)
    assert calls.batches == [[b"bad0"], [b"bad0"]]


@in_virtual_time
async def test_records_are_held_in_an_outage_and_done_in_batches_after_it() -> None:
    broker, calls, down = await broker_for("p"), Calls(), [True]

    def fail(_values: list[bytes]) -> Exception | None:
        return Transient("down") if down else None

    await broker.write("p-in", *numbered(*range(400)))
    stage = service(broker, one_stage(calls.agent(20, 1, fail=fail), retry(2), concurrency=4))
    async with running(stage):
        await until(lambda: stage.metrics[0].held_since is not None)
        began = len(calls.batches)
        await asyncio.sleep(600)
        probes = len(calls.batches) - began
        assert 1 < probes < 60
        assert all(len(batch) == 1 for batch in calls.batches[-probes + 4 :])
        down.clear()
        await until(lambda: len(broker.values("p-out")) == 400)
    assert broker.values("p.stage.dlq") == []
    assert max(len(batch) for batch in calls.batches[began + probes :]) == 20


@in_virtual_time
async def test_what_waits_for_others_is_probed_with_once_and_what_is_behind_it_comes_after_it() -> (
    None
):
    broker, calls, down = await broker_for("p"), Calls(), [True]

    def fail(_values: list[bytes]) -> Exception | None:
        return Transient("down") if down else None

    stage = service(broker, one_stage(calls.agent(4, 30, seconds=1, fail=fail), retry(2)))
    async with running(stage):
        await broker.write("p-in", *numbered(*range(4)))
        await until(lambda: len(calls.batches) == 1)
        await broker.write("p-in", (None, b"4"), (b"a", b"5"), (b"a", b"6"))
        await until(lambda: [b"4"] in calls.batches and [b"5"] in calls.batches)
        assert stage.metrics[0].held_since is not None
        down.clear()
        await until(lambda: len(broker.values("p-out")) == 7)
    assert written(broker) == [b"%d" % n for n in range(7)]
    assert broker.values("p-out").index(b"5") < broker.values("p-out").index(b"6")


@in_virtual_time
async def test_records_that_were_not_tried_end_a_hold_if_those_that_were_always_fail() -> None:
    broker, calls = await broker_for("p"), Calls()

    def fail(values: list[bytes]) -> Exception | None:
        return Transient("its shard is down") if any(int(v) < 10 for v in values) else None

    await broker.write("p-in", *numbered(*range(10)))
    stage = service(broker, one_stage(calls.agent(5, 1, fail=fail), retry(2), concurrency=4))
    async with running(stage):
        await until(lambda: stage.metrics[0].held_since is not None)
        await broker.write("p-in", *numbered(*range(10, 40), keys=30))
        await until(lambda: len(broker.values("p-out")) == 20)
        probes = [batch for batch in calls.batches[2:] if len(batch) == 1]
    assert written(broker) == sorted(b"%d" % n for n in range(10, 30))
    assert {int(value) < 10 for [value] in probes} == {True, False}
