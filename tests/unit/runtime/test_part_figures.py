"""Calls of the parts of an agent are counted for the stage that made them, by the part's name."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from streamapp.errors import Permanent
from streamapp.observability.stage_metrics import PartFigures
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branch import branch
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.combinators.when import when
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, retry
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service


@agent
async def slow(value: bytes) -> bytes:
    await asyncio.sleep(2)
    return value


@agent
def quick(value: bytes) -> bytes:
    return value


@agent
def poor(value: bytes) -> bytes:
    if int(value) % 2:
        raise Permanent("odd")
    return value


@agent
async def both(value: bytes) -> AsyncIterator[bytes]:
    yield value
    await asyncio.sleep(1)
    yield value


async def figures_after(
    made: Agent[bytes, bytes], count: int = 4, outputs: int | None = None
) -> Mapping[str, PartFigures]:
    """Figures of the parts of an agent when so many records went through it."""
    broker = await broker_for("p")
    stage = service(broker, one_stage(made, dead_letter(), concurrency=8))
    async with running(stage):
        assert all(figures == PartFigures() for figures in stage.metrics[0].parts.values())
        await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(count)))
        await until(lambda: sum(stage.metrics[0].outcomes.values()) == count)
        assert outputs is None or len(broker.values("p-out")) == outputs
        return stage.metrics[0].parts


def joined(_: bytes, one: bytes, other: bytes) -> bytes:
    return one + other


@in_virtual_time
async def test_each_branch_is_counted_with_the_time_that_it_took() -> None:
    parts = await figures_after(parallel(slow, quick).join(joined))
    assert parts == {"slow": PartFigures(4, 0, 8.0), "quick": PartFigures(4, 0, 0.0)}


@in_virtual_time
async def test_a_failure_is_counted_where_another_agent_takes_over() -> None:
    parts = await figures_after(fallback(poor, quick), outputs=4)
    assert parts == {"poor": PartFigures(4, 2, 0.0), "quick": PartFigures(2, 0, 0.0)}


@in_virtual_time
async def test_a_failure_is_counted_where_a_default_stands_in() -> None:
    with_default = branch(poor, default=b"none")
    parts = await figures_after(parallel(with_default, quick).join(joined), outputs=4)
    assert parts["poor"] == PartFigures(4, 2, 0.0)


@in_virtual_time
async def test_each_retry_of_a_branch_is_a_call() -> None:
    calls = 0

    @agent
    async def shaky(value: bytes) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("no answer")
        return value

    retried = branch(shaky, retry=retry(2, backoff=Backoff(base_seconds=0.1)), name="again")
    parts = await figures_after(parallel(retried, quick).join(joined), count=1)
    assert (parts["again"].calls, parts["again"].failures) == (1, 0)
    assert (parts["shaky"].calls, parts["shaky"].failures) == (2, 1)
    assert parts["shaky"].blamed == 1


@in_virtual_time
async def test_a_call_that_is_cancelled_has_not_failed_and_nobody_is_blamed() -> None:
    refused = branch(poor, default=b"none")
    late = branch(slow, timeout_seconds=1, default=b"late")
    parts = await figures_after(parallel(refused, late).join(joined))
    assert (parts["poor"].failures, parts["poor"].blamed) == (2, 0)
    assert (parts["slow"].failures, parts["slow"].cancelled) == (0, 4)


@in_virtual_time
async def test_choices_chains_and_members_are_counted_too() -> None:
    chosen = choose(when(lambda value: int(value) % 2 == 0, quick), otherwise=slow, name="chosen")
    parts = await figures_after(chain(chosen, both), outputs=8)
    assert parts["chosen"] == PartFigures(4, 0, 4.0)
    assert parts["quick"] == PartFigures(2, 0, 0.0)
    assert parts["slow"] == PartFigures(2, 0, 4.0)
    assert parts["both"] == PartFigures(4, 0, 4.0)
    members = await figures_after(pool(slow, poor, capacity=(8, 1)))
    assert sum(one.calls for one in members.values()) >= 4


@in_virtual_time
async def test_an_agent_of_two_stages_is_counted_for_each() -> None:
    broker = await broker_for("p", "q")
    made = parallel(slow, quick).join(joined)
    stages = [service(broker, one_stage(made, dead_letter(), name=name)) for name in ("p", "q")]
    async with running(stages[0]), running(stages[1]):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: len(broker.values("p-out")) == 1)
        assert stages[0].metrics[0].parts["quick"].calls == 1
        assert stages[1].metrics[0].parts["quick"].calls == 0


@in_virtual_time
async def test_an_agent_without_parts_has_no_figures() -> None:
    assert await figures_after(quick) == {}
