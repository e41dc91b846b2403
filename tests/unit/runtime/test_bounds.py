"""What a stage holds is bounded by bytes as well as by records."""

import asyncio

import pytest

from streamapp.pipeline.agent import Agent, agent
from tests.unit.runtime.agents import gated
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service

KILOBYTE = b"x" * 1000


@pytest.mark.parametrize("partitions", [1, 2])
@in_virtual_time
async def test_max_in_flight_bytes_bounds_what_is_held(partitions: int) -> None:
    broker, gate = await broker_for("p", partitions=partitions), asyncio.Event()

    held = service(broker, one_stage(gated(gate), max_in_flight_bytes=4000, concurrency=2))
    metrics = held.metrics[0]
    async with running(held):
        for n in range(3):
            await broker.write("p-in", (None, KILOBYTE), partition=n % partitions)
            await until(lambda n=n: metrics.records_in == n + 1)  # type: ignore[misc]  # bound now
        await broker.write("p-in", (None, KILOBYTE))
        await until(lambda: metrics.records_in == 4)  # 3,000 bytes are below the bound
        for n in range(20):
            await broker.write("p-in", (None, KILOBYTE), partition=n % partitions)
        await asyncio.sleep(5)
        assert metrics.records_in == 4
        assert (metrics.in_flight_records, metrics.in_flight_bytes) == (4, 4000)
        gate.set()
        await until(lambda: metrics.processed == 24)
        await until(lambda: metrics.in_flight_bytes == 0)
        assert metrics.in_flight_records == 0


@agent
def keep(value: bytes) -> bytes:
    return value


@agent
def keep_in_a_list(value: bytes) -> list[bytes]:
    return [value]


@agent
async def keep_later(value: bytes) -> bytes:
    await asyncio.sleep(0.01)
    return value


@agent
def fail(_value: bytes) -> bytes:
    raise ValueError


@pytest.mark.parametrize("step", [keep, keep_in_a_list, keep_later, fail], ids=lambda a: a.name)
@in_virtual_time
async def test_the_bytes_of_a_record_are_given_back_however_it_ends(
    step: Agent[bytes, bytes],
) -> None:
    broker = await broker_for("p")
    held = service(broker, one_stage(step, max_in_flight_bytes=1500))
    async with running(held):
        for n in range(6):
            await broker.write("p-in", (b"k", KILOBYTE))
            await until(lambda n=n: held.metrics[0].records_in == n + 1)  # type: ignore[misc]  # bound now
        await until(lambda: held.metrics[0].in_flight_records == 0)
        await until(lambda: held.metrics[0].in_flight_bytes == 0)


@in_virtual_time
async def test_all_partitions_are_read_however_many_share_few_records_in_flight() -> None:
    broker = await broker_for("p", partitions=20)
    held = service(broker, one_stage(keep, max_in_flight_records=1))
    async with running(held):
        for n in range(20):
            await broker.write("p-in", (None, b"x"), partition=n)
        await until(lambda: held.metrics[0].processed == 20)
