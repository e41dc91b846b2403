"""What is known of how far a stage is behind, and whether Kafka tells it."""

import asyncio

from streamapp.pipeline.agent import agent
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service


@in_virtual_time
async def test_a_stage_is_cut_off_until_it_is_assigned_though_its_lag_is_measured_in_a_drain() -> (
    None
):
    broker, gate = await broker_for("p", partitions=2), asyncio.Event()

    @agent
    async def gated(value: bytes) -> bytes:
        await gate.wait()
        return value

    first, second = service(broker, one_stage(gated)), service(broker, one_stage(gated))
    metrics = first.metrics[0]
    async with running(first):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: metrics.busy_lanes == 1)
        async with running(second):
            await until(lambda: metrics.cut_off_since is not None)
            began_at = metrics.cut_off_since
            await broker.write("p-in", (b"k", b"2"), partition=0)
            await until(lambda: sum(p.lag_records or 0 for p in metrics.partitions.values()) == 2)
            assert metrics.cut_off_since == began_at
            gate.set()
            await until(lambda: metrics.cut_off_since is None)
            assert metrics.rebalances == 2
