"""Outputs without a key go round the partitions of their topic."""

from collections.abc import Callable

import pytest

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.out import Out
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service

PARTITIONS = 4


@agent
def without_key(value: bytes) -> Out[bytes]:
    return Out(value, key=None)


@agent
def with_key(value: bytes) -> Out[bytes]:
    return Out(value, key="k")


@pytest.mark.parametrize(("step", "key"), [(same, None), (without_key, b"k")], ids=["same", "Out"])
@in_virtual_time
async def test_outputs_without_a_key_spread_over_the_partitions(
    step: Agent[bytes, bytes], key: bytes | None
) -> None:
    counts = await counts_after(12, lambda n: (key, b"%d" % n), step)
    assert counts == [12 // PARTITIONS] * PARTITIONS


@in_virtual_time
async def test_outputs_with_one_key_do_not() -> None:
    counts = await counts_after(12, lambda n: (None, b"%d" % n), with_key)
    assert sorted(counts) == [0, 0, 0, 12]


async def counts_after(
    total: int,
    record: Callable[[int], tuple[bytes | None, bytes | None]],
    step: Agent[bytes, bytes],
) -> list[int]:
    """Records in each partition of the output, after so many that came one by one."""
    broker = await broker_for("p", partitions=PARTITIONS)
    counts: list[int] = []
    async with running(service(broker, one_stage(step))):
        for n in range(total):
            await broker.write("p-in", record(n), partition=n % PARTITIONS)

            def is_out(n: int = n) -> bool:
                counts[:] = [len(broker.values("p-out", i)) for i in range(PARTITIONS)]
                return sum(counts) == n + 1

            await until(is_out)
    return counts
