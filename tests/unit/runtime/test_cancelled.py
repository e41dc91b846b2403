"""What is left of a cancelled attempt: nothing that the next record of its lane could meet."""

import asyncio
from collections import Counter

import pytest

from streamapp.pipeline.agent import agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, retry
from streamapp.record import TopicPartition
from streamapp.service import Service
from tests.contract.pipelines import error_headers
from tests.unit.runtime import virtual
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.test_faults import broker_for, topology
from tests.unit.runtime.virtual import in_virtual_time, one_stage, service


async def wait_and_take_the_cancel_back() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()


async def test_a_record_that_times_out_where_an_abandoned_one_ran_is_tried_again() -> None:
    broker = await broker_for("a")
    calls: Counter[bytes] = Counter()

    @agent
    async def first_calls_wait(value: bytes) -> bytes:
        calls[value] += 1
        if value == b"abandoned" and calls[value] == 1:
            await wait_and_take_the_cancel_back()
        if value == b"late" and calls[value] == 1:
            await asyncio.Event().wait()
        return value

    policy = retry(1, backoff=Backoff(0))
    stage = topology("a", first_calls_wait, policy, concurrency=1, timeout_seconds=0.3)
    async with running(Service(broker, [stage])):
        broker.fail_batches["a-out"] = 1
        await broker.write("a-in", (b"k", b"sent"), (b"k", b"abandoned"))
        await until(lambda: broker.values("a-out") == [b"sent", b"abandoned"])
        await broker.write("a-in", (b"k", b"late"))
        await until(lambda: broker.values("a-out") == [b"sent", b"abandoned", b"late"])
    assert broker.fired["a-out"] == 1
    assert calls[b"abandoned"] == calls[b"late"] == 2


async def test_a_lane_takes_no_more_of_a_partition_that_was_closed_while_it_waited() -> None:
    broker = await broker_for("a")
    gate = asyncio.Event()
    calls: Counter[bytes] = Counter()

    @agent
    async def waits_once(value: bytes) -> bytes:
        calls[value] += 1
        if value == b"2":
            await gate.wait()
        return value

    values = [b"%d" % n for n in range(6)]
    stage = Service(broker, [topology("a", waits_once, concurrency=1)])
    async with running(stage):
        await broker.write("a-in", *((value, value) for value in values))
        await until(lambda: calls[b"2"] == 1)
        # As when a position is lost because the log was cut off and written anew.
        stage._running[0]._runner._assignment.restart_at(TopicPartition("a-in", 0), 0)
        gate.set()
        await until(lambda: calls[b"5"] > 0)
        await until(lambda: broker.values("a-out")[-6:] == values)
    assert [calls[value] for value in values] == [2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize("retried", [False, True], ids=["first attempt", "retry"])
@in_virtual_time
async def test_a_cancel_that_an_agent_outran_does_not_meet_the_next_record(retried: bool) -> None:
    broker = await virtual.broker_for("p")
    calls: Counter[bytes] = Counter()

    @agent
    async def cancels_itself(value: bytes) -> bytes:
        calls[value] += 1
        await asyncio.sleep(1)
        if retried and calls[value] == 1:
            raise OSError
        if value.startswith(b"cancels"):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # it would come at the next wait, and there is none
        return value

    values = [b"cancels 1", b"2", b"cancels 3", b"4"]
    await broker.write("p-in", *((b"k", value) for value in values))
    policy = retry(1, backoff=Backoff(base_seconds=1))
    await service(broker, one_stage(cancels_itself, policy, concurrency=1)).run(until_end=True)
    assert broker.values("p-out") == values
    assert broker.values("p.stage.dlq") == []
    assert set(calls.values()) == {2 if retried else 1}


@in_virtual_time
async def test_a_timeout_that_an_agent_got_over_is_not_blamed_for_what_the_next_record_does() -> (
    None
):
    broker = await virtual.broker_for("p")

    @agent
    async def restless(value: bytes) -> bytes:
        await asyncio.sleep(0.1)
        if value == b"gets over it":
            await wait_and_take_the_cancel_back()
        if value == b"cancels itself":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)
        return value

    values = [b"gets over it", b"cancels itself", b"last"]
    await broker.write("p-in", *((value, value) for value in values))
    stage = one_stage(restless, dead_letter(), concurrency=1, timeout_seconds=1)
    await service(broker, stage).run(until_end=True)
    assert broker.values("p-out") == [b"gets over it", b"last"]
    [letter] = broker.records("p.stage.dlq")
    assert error_headers(letter)["class"] == "RuntimeError"
    assert "cancelled itself" in error_headers(letter)["message"]
