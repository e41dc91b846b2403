"""Collectors of a running pipeline are told of every stage that is done with a value."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from streamapp.errors import StageStoppedError
from streamapp.observability.collector import MetricsCollector
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, drop, retry, skip, stop
from streamapp.status import PipelineStatus
from streamapp.topics.topic import Topic
from tests.unit.runtime.agents import same
from tests.unit.runtime.virtual import broker_with, in_virtual_time, service


class Noting(MetricsCollector):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, float, str]] = []
        self.pipelines: list[tuple[float, str]] = []

    def record_stage_execution(
        self, pipeline_id: str, stage_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        assert pipeline_id == "p"
        self.stages.append((stage_id, round(duration_seconds, 1), status))

    def record_pipeline_execution(
        self, pipeline_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        assert pipeline_id == "p"
        self.pipelines.append((round(duration_seconds, 1), status))


class Broken(Noting):
    """Raises whenever it is told of a stage."""

    def record_stage_execution(self, *_: Any) -> None:
        raise OSError("away")


@agent
def failing(value: bytes) -> bytes:
    raise ValueError(value)


@agent
async def slow(value: bytes) -> bytes:
    await asyncio.sleep(2)
    return value


@agent
def filtering(value: bytes) -> bytes | None:
    return value if not value else None


async def run(
    *steps: tuple[Agent[Any, Any], Policy], fused: bool, collector: Noting | None = None
) -> Noting:
    """What is told of one record that is two hours old."""
    collector = collector or Noting()
    names = [f"s{i}" for i in range(len(steps))]
    topics = [*(f"p.{name}" for name in names), *(f"p.{name}.dlq" for name in names)]
    broker = await broker_with("in", "out", *topics)
    pipeline: Pipeline[Any, Any] = Pipeline("p", source=Topic("in", bytes)).collect(collector)
    for i, (step, policy) in enumerate(steps):
        pipeline = pipeline.stage(step, name=names[i], fused=fused and i > 0, on_error=policy)
    await broker.write("in", (b"k", b"1"))
    await asyncio.sleep(7200)
    worker = service(broker, build(pipeline.sink("out")))
    with suppress(StageStoppedError):
        await worker.run(until_end=True)
    return collector


@pytest.mark.parametrize("fused", [False, True])
@in_virtual_time
async def test_each_stage_is_told_and_the_pipeline_once_at_its_end(*, fused: bool) -> None:
    told = await run((same, dead_letter()), (slow, dead_letter()), (same, skip()), fused=fused)
    assert told.stages == [("s0", 0, "success"), ("s1", 2, "success"), ("s2", 0, "success")]
    [(seconds, status)] = told.pipelines
    assert status == "success"
    assert seconds == pytest.approx(7202, abs=5)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("policy", "status", "stages"),
    [
        (dead_letter(), "failed", 1),
        (stop(), "failed", 1),
        (drop(), "success", 1),
        (skip(), "success", 2),
        (retry(2, backoff=Backoff(base_seconds=1, factor=1)), "failed", 1),
    ],
)
@in_virtual_time
async def test_a_failure_is_told_once_whatever_the_number_of_attempts(
    policy: Policy, status: str, stages: int, *, fused: bool
) -> None:
    told = await run((failing, policy), (same, dead_letter()), fused=fused)
    assert [seconds for _, seconds, _ in told.stages][:1] == [2 if policy.retries else 0]
    assert [ended for _, _, ended in told.stages] == [status, "success"][:stages]
    assert [ended for _, ended in told.pipelines] == [status]


@in_virtual_time
async def test_what_is_filtered_leaves_the_pipeline_there() -> None:
    told = await run((filtering, dead_letter()), (same, dead_letter()), fused=False)
    assert told.stages == [("s0", 0, "success")]
    assert [status for _, status in told.pipelines] == ["success"]


@in_virtual_time
async def test_a_collector_that_raises_harms_nothing() -> None:
    broken = await run((same, dead_letter()), fused=False, collector=Broken())
    assert [status for _, status in broken.pipelines] == ["success"]
