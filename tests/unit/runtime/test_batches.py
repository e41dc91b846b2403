"""Calls with several records: when they are made, and what becomes of each record."""

import asyncio
from typing import Any

import pytest

from streamapp.errors import Permanent
from streamapp.pipeline.agent import agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import Stage
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter, retry
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.batch_calls import LATER, Calls, numbered, run_to_end, until
from tests.unit.runtime.faults import FaultyBroker, running
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service


@in_virtual_time
async def test_a_full_batch_is_worked_on_at_once_and_the_rest_waits_for_others() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(12)))
    async with running(service(broker, one_stage(calls.agent(5, 30)))):
        await until(lambda: len(broker.values("p-out")) == 10)
        assert loop().time() < 1
        await until(lambda: len(broker.values("p-out")) == 12)
    assert [len(batch) for batch in calls.batches] == [5, 5, 2]
    assert calls.times == [0, 0, 30]
    assert broker.values("p-out") == [b"%d" % n for n in range(12)]


@in_virtual_time
async def test_records_that_come_meanwhile_fill_the_batch() -> None:
    broker, calls = await broker_for("p"), Calls()
    async with running(service(broker, one_stage(calls.agent(3)))):
        for n in range(6):
            await broker.write("p-in", *numbered(n))
            await asyncio.sleep(1)
        await until(lambda: len(broker.values("p-out")) == 6)
    assert calls.batches == [[b"0", b"1", b"2"], [b"3", b"4", b"5"]]
    assert calls.times == pytest.approx([2, 5], abs=0.3)


@in_virtual_time
async def test_the_wait_is_that_of_the_first_record_of_each_batch() -> None:
    broker, calls = await broker_for("p"), Calls()
    async with running(service(broker, one_stage(calls.agent(2, 10)))):
        for seconds in (4, 4, 4, 0):  # the second batch begins at 8, the third at 12
            await broker.write("p-in", *numbered(0))
            await asyncio.sleep(seconds)
        await broker.write("p-in", *numbered(0))
        await until(lambda: len(broker.values("p-out")) == 5)
    assert calls.times == pytest.approx([4, 12, 22], abs=0.3)


@in_virtual_time
async def test_without_a_wait_a_batch_is_what_is_there() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(7)))
    async with running(service(broker, one_stage(calls.agent(5, 0)))):
        await until(lambda: len(broker.values("p-out")) == 7)
    assert [len(batch) for batch in calls.batches] == [5, 2]
    assert calls.times == [0, 0]


@in_virtual_time
async def test_as_many_batches_as_the_concurrency_run_side_by_side() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(40)))
    topology = one_stage(calls.agent(5, seconds=1), concurrency=3)
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 40)
    assert [len(batch) for batch in calls.batches] == [5] * 8
    assert calls.most_at_once == 3
    assert calls.times[-1] == 2


@in_virtual_time
async def test_records_of_a_key_are_in_one_batch_and_in_no_other_meanwhile() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(12), keys=2))
    async with running(service(broker, one_stage(calls.agent(4, 10, seconds=1)))):
        await until(lambda: len(broker.values("p-out")) == 12)
    first, *later = calls.batches
    assert first == [b"0", b"1", b"2", b"3"]
    assert sorted(later) == [[b"%d" % n for n in range(i, 12, 2)] for i in (4, 5)]
    assert calls.times == [0, 1, 1]
    for key in range(2):
        numbers = [int(value or b"") for value in broker.values("p-out")]
        found = [n for n in numbers if n % 2 == key]
        assert found == list(range(key, 12, 2))


@in_virtual_time
async def test_a_partition_in_order_is_worked_on_in_batches_too() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(9)))
    topology = one_stage(calls.agent(4, 10, seconds=1), ordering="partition")
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 9)
    assert calls.batches == [[b"%d" % n for n in range(i, min(i + 4, 9))] for i in (0, 4, 8)]
    assert calls.most_at_once == 1


@in_virtual_time
async def test_a_retry_that_holds_its_partition_does_not_wait_for_others() -> None:
    broker, calls, tried = await broker_for("p"), Calls(), list[bytes]()
    await broker.write("p-in", *numbered(*range(3)))

    def answer(value: bytes) -> Any:
        tried.append(value)
        return OSError("busy") if tried.count(b"0") == 1 and value == b"0" else value

    topology = one_stage(
        calls.agent(3, answer=answer), retry(1, backoff=LATER), ordering="partition"
    )
    async with running(service(broker, topology)):
        await until(lambda: broker.values("p-out") == [b"0"])
        assert loop().time() < 11
        await until(lambda: len(broker.values("p-out")) == 3)
    assert calls.batches == [[b"0", b"1", b"2"], [b"0"], [b"1", b"2"]]


@in_virtual_time
async def test_without_order_records_of_a_key_are_in_batches_side_by_side() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(8), keys=1))
    topology = one_stage(calls.agent(4, seconds=1), ordering="unordered")
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 8)
    assert calls.most_at_once == 2


@in_virtual_time
async def test_records_of_several_partitions_share_a_batch() -> None:
    broker, calls = await broker_for("p", partitions=3), Calls()
    for partition in range(3):
        await broker.write("p-in", *numbered(partition), partition=partition)
    async with running(service(broker, one_stage(calls.agent(3)))):
        await until(lambda: len(calls.batches) == 1)
    assert sorted(calls.batches[0]) == [b"0", b"1", b"2"]


@in_virtual_time
async def test_contexts_are_those_of_the_items() -> None:
    broker = await broker_for("p")

    @batch_agent(size=3)
    async def told(
        values: list[bytes], contexts: list[Context]
    ) -> list[Out[bytes] | Exception | None]:
        return [
            OSError("busy")
            if value == b"1" and context.attempt == 1
            else Out(b"%s at %d, attempt %d" % (value, context.record.offset, context.attempt))
            for value, context in zip(values, contexts, strict=True)
        ]

    await broker.write("p-in", *numbered(*range(3)))
    await run_to_end(service(broker, one_stage(told, retry(1, backoff=LATER))))
    assert broker.values("p-out") == [
        b"0 at 0, attempt 1",
        b"2 at 2, attempt 1",
        b"1 at 1, attempt 2",
    ]


@pytest.mark.parametrize("blocking", [False, True])
def test_plain_functions_take_batches_as_well(blocking: bool) -> None:
    broker = asyncio.run(_plain(blocking))
    assert broker.values("p-out") == [b"%d" % n for n in range(7)]


async def _plain(blocking: bool) -> FaultyBroker:
    @batch_agent(size=3, linger_seconds=0.01, blocking=blocking)
    def plain(values: list[bytes]) -> list[bytes]:
        return values

    broker = FaultyBroker()
    await broker.create("p-in", "p-out", "p.stage.dlq")
    await broker.write("p-in", *numbered(*range(7), keys=1))
    await Service(broker, [one_stage(plain)]).run(until_end=True)
    return broker


@in_virtual_time
async def test_an_agent_without_outputs_stores_whole_batches() -> None:
    broker, stored = await broker_for("p"), list[list[bytes]]()

    @batch_agent(size=3)
    async def store(values: list[bytes]) -> None:
        stored.append(values)

    await broker.write("p-in", *numbered(*range(4)))
    topology = build(Pipeline("p", source=Topic("p-in", bytes)).stage(store, name="stage"))
    stage = service(broker, topology)
    await run_to_end(stage)
    assert stored == [[b"0", b"1", b"2"], [b"3"]]
    assert stage.metrics[0].filtered == 4


@agent
async def resting(value: bytes) -> bytes:
    if value == b"2":
        raise ValueError("two")
    await asyncio.sleep(1)
    return value + b"!"


@in_virtual_time
async def test_items_pass_on_to_a_fused_stage_in_their_order() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.create("p.resting.dlq")
    await broker.write("p-in", *numbered(*range(4), keys=2))
    topology = build(
        Pipeline("p", source=Topic("p-in", bytes))
        .stage(calls.agent(4), name="stage")
        .stage(resting, fused=True, on_error=dead_letter())
        .sink("p-out")
    )
    stage = service(broker, topology)
    await run_to_end(stage)
    assert broker.values("p-out") == [b"0!", b"1!", b"3!"]
    assert broker.values("p.resting.dlq") == [b"2"]
    assert [metrics.processed for metrics in stage.metrics] == [4, 3]


@in_virtual_time
async def test_middleware_runs_around_each_item_and_the_agent_is_called_once() -> None:
    broker, calls = await broker_for("p"), Calls()

    async def around(data: bytes, _stage: Stage, context: Context, call: Call) -> Any:
        if data == b"1":
            raise Permanent("refused")
        context.metadata["seen"] = data.decode()
        return await call(data + b"+")

    await broker.write("p-in", *numbered(*range(3)))
    topology = build(
        Pipeline("p", source=Topic("p-in", bytes))
        .use(around)
        .stage(calls.agent(3), name="stage")
        .sink("p-out")
    )
    await run_to_end(service(broker, topology))
    assert calls.batches == [[b"0+", b"2+"]]
    assert broker.values("p-out") == [b"0+", b"2+"]
    assert broker.values("p.stage.dlq") == [b"1"]


@in_virtual_time
async def test_half_of_the_bound_is_a_batch_that_fills_itself() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(40)))
    topology = one_stage(calls.agent(10, seconds=1), max_in_flight_records=20)
    stage = service(broker, topology)
    async with running(stage):
        await until(lambda: len(broker.values("p-out")) == 40)
        assert stage.metrics[0].in_flight_records <= 20
    assert [len(batch) for batch in calls.batches] == [10] * 4
