"""What is no stall although nothing finishes: waits that are known, and brokers that are gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamapp.observability.causes import Cause
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.observability.verdict import Verdict, is_live, verdict_of
from streamapp.pipeline.agent import agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from streamapp.runtime.config import RuntimeConfig
from tests.unit.runtime.faults import FaultyBroker, running
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service


@agent
def passed_on(value: bytes) -> bytes:
    return value


@agent
async def refused(value: bytes) -> bytes:
    raise ValueError(value)


def judge(metrics: StageMetrics, broker: FaultyBroker) -> Verdict:
    return verdict_of(metrics, broker.clock.monotonic(), metrics.stall_after_seconds)


async def judged_every_ten_seconds(
    metrics: StageMetrics, broker: FaultyBroker, times: int
) -> tuple[set[Cause | None], set[bool]]:
    """The gravest causes, and whether the process was live."""
    causes, lives = set[Cause | None](), set[bool]()
    for _ in range(times):
        await asyncio.sleep(10)
        verdict = judge(metrics, broker)
        causes.add(verdict.cause)
        lives.add(is_live(verdict, metrics))
    return causes, lives


@in_virtual_time
async def test_a_record_that_waits_minutes_for_its_next_attempt_is_no_stall() -> None:
    broker = await broker_for("p")
    waits = retry(5, backoff=Backoff(base_seconds=30, factor=2, max_seconds=300))
    pipelines = service(broker, one_stage(refused, waits))
    loop().allow_turns(1_000_000)
    async with running(pipelines):
        await broker.write("p-in", (b"a", b"1"))
        [metrics] = pipelines.metrics
        await asyncio.sleep(40)
        assert "an attempt is repeated in" in judge(metrics, broker).reason
        found = await judged_every_ten_seconds(metrics, broker, 80)
        assert found == ({None}, {True})
        assert metrics.dead_lettered == 1


@asynccontextmanager
async def without_output_leader(
    config: RuntimeConfig,
) -> AsyncIterator[tuple[FaultyBroker, StageMetrics]]:
    """A stage whose outputs are not acknowledged, while its group and its input are fine."""
    broker = await broker_for("p")
    pipelines = service(broker, one_stage(passed_on), config=config)
    loop().allow_turns(1_000_000)
    async with running(pipelines):
        await broker.write("p-in", (b"a", b"1"))
        await asyncio.sleep(3)
        broker.unanswered.add("p-out")
        await broker.write("p-in", (b"a", b"2"))
        yield broker, pipelines.metrics[0]


def answer(broker: FaultyBroker) -> None:
    broker.unanswered.clear()
    for one in broker.answers:
        if not one.done():
            one.set_result(None)


@in_virtual_time
async def test_missing_acknowledgements_have_a_cause_of_their_own_and_ask_for_no_restart() -> None:
    async with without_output_leader(RuntimeConfig()) as (broker, metrics):
        await asyncio.sleep(10)
        assert judge(metrics, broker).cause is None
        await asyncio.sleep(10)
        # Over the deadline of a batch, at which the producer is replaced and all is read again.
        causes, lives = await judged_every_ten_seconds(metrics, broker, 40)
        assert (causes, lives) == ({Cause.ACKNOWLEDGEMENTS_MISSING}, {True})
        assert (
            "was acknowledged for 4" in judge(metrics, broker).reason
        )  # 4.. s, not since the last
        answer(broker)
        await asyncio.sleep(15)
        assert judge(metrics, broker).cause is None


@in_virtual_time
async def test_a_stage_stalls_after_the_time_that_is_configured() -> None:
    broker = await broker_for("p")
    never = asyncio.Event()

    @agent
    async def hangs(value: bytes) -> bytes:
        await never.wait()
        return value

    pipelines = service(
        broker,
        one_stage(hangs, timeout_seconds=1000),
        config=RuntimeConfig(stall_after_seconds=300),
    )
    loop().allow_turns(1_000_000)
    async with running(pipelines):
        await broker.write("p-in", (b"a", b"1"))
        [metrics] = pipelines.metrics
        await asyncio.sleep(290)
        assert judge(metrics, broker).cause is None
        await asyncio.sleep(20)
        assert judge(metrics, broker).cause is Cause.STALLED
        never.set()
