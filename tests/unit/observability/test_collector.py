"""Collectors: told of every execution, bounded, and their failures harm nothing."""

import asyncio
import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streamapp.errors import PipelineError, Transient
from streamapp.observability.collector import MetricsCollector
from streamapp.observability.execution_figures import InMemoryCollector, PrometheusCollector
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, drop, retry, skip, stop
from streamapp.status import PipelineStatus
from tests.unit.pipeline.execution.agents import Item, executor, failing, pipeline, tagging
from tests.unit.runtime.virtual import in_virtual_time


class Noting(MetricsCollector):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float, str]] = []

    def record_stage_execution(
        self, pipeline_id: str, stage_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        assert pipeline_id == "p"
        self.told.append((stage_id, round(duration_seconds, 3), status))

    def record_pipeline_execution(
        self, pipeline_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        self.told.append((f"pipeline {pipeline_id}", round(duration_seconds, 3), status))


class Broken(MetricsCollector):
    """Raises whenever it is told anything."""

    def record_stage_execution(self, *_: Any) -> None:
        raise OSError("stage")

    def record_pipeline_execution(self, *_: Any) -> None:
        raise OSError("pipeline")


@agent
async def slow(item: Item) -> Item:
    """Take two seconds."""
    await asyncio.sleep(2)
    return item


async def told_of(made: Any) -> list[tuple[str, float, str]]:
    """What a collector is told of one execution in virtual time."""
    noting = Noting()
    async with executor(made.collect(noting)) as open_executor:
        await open_executor.execute(Item())
    return noting.told


@in_virtual_time
async def test_each_stage_and_the_pipeline_are_told_with_their_durations() -> None:
    assert await told_of(pipeline(slow, tagging("b"))) == [
        ("slow", 2, "success"),
        ("b", 0, "success"),
        ("pipeline p", 2, "success"),
    ]


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (dead_letter(), "failed"),
        (stop(), "failed"),
        (skip(), "success"),
        (drop(), "success"),
        (retry(2, backoff=Backoff(base_seconds=1, factor=1)), "failed"),
    ],
)
@in_virtual_time
async def test_a_failure_is_told_once_whatever_the_number_of_attempts(
    policy: Any, status: str
) -> None:
    made = pipeline(failing("a", Transient("busy")), on_error=policy)
    seconds = 2.0 if policy.retries else 0.0
    assert await told_of(made) == [("a", seconds, status), ("pipeline p", seconds, status)]


@in_virtual_time
async def test_a_cancelled_execution_is_told_too() -> None:
    noting = Noting()
    async with executor(pipeline(slow).collect(noting)) as open_executor:
        task = asyncio.create_task(open_executor.execute(Item(), Context()))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
    assert noting.told == [("slow", 1, "cancelled"), ("pipeline p", 1, "cancelled")]


async def test_an_exception_that_ends_the_process_is_told_too() -> None:
    noting = Noting()
    made = pipeline(failing("a", KeyboardInterrupt())).collect(noting)
    with pytest.raises(KeyboardInterrupt):
        await made.execute(Item())
    assert [(who, status) for who, _, status in noting.told] == [
        ("a", "cancelled"),
        ("pipeline p", "failed"),
    ]


async def test_data_of_another_type_are_told_as_a_failure_of_the_first_stage() -> None:
    noting = Noting()
    await pipeline(tagging("a")).collect(noting).execute("text")
    assert [(who, status) for who, _, status in noting.told] == [
        ("a", "failed"),
        ("pipeline p", "failed"),
    ]


async def test_a_collector_that_raises_harms_nothing_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    noting = Noting()
    made = pipeline(tagging("a"), tagging("b")).collect(Broken(), noting)
    with caplog.at_level(logging.WARNING):
        result = await made.execute(Item())
    assert result.status is PipelineStatus.SUCCESS
    assert len(noting.told) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "the metrics collector Broken fails; this is told once: OSError('stage')"
    ]
    assert made.collectors is not None
    assert made.collectors.failures == 3


def test_what_is_no_collector_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"\.collect\(\) was given 'text'; give a MetricsColl"):
        pipeline(tagging("a")).collect("text")  # type: ignore[arg-type]  # the mistake under test


async def test_collectors_are_added_to_those_before() -> None:
    one, two = Noting(), Noting()
    await pipeline(tagging("a")).collect(one).stage(tagging("b")).collect(two).execute(Item())
    assert one.told == two.told
    assert len(one.told) == 3


def test_figures_in_memory() -> None:
    collector = InMemoryCollector()
    for seconds in (0.5, 2.0):
        collector.record_stage_execution("p", "s", seconds, PipelineStatus.SUCCESS)
    collector.record_stage_execution("p", "s", 8.0, PipelineStatus.FAILED)
    collector.record_pipeline_execution("p", 9.0, PipelineStatus.FAILED)
    figures = collector.stages["p", "s"]
    assert (figures.count, figures.counts) == (3, {"success": 2, "failed": 1})
    assert (figures.seconds, figures.longest_seconds) == (10.5, 8.0)
    median = figures.quantile_seconds(0.5)
    assert median is not None
    assert 2 <= median <= 4
    assert collector.pipelines["p"].counts == {"failed": 1}


def test_figures_in_memory_are_bounded_and_what_is_left_out_is_counted() -> None:
    collector = InMemoryCollector(max_series=3)
    for n in range(5):
        collector.record_stage_execution("p", f"s{n}", 1, PipelineStatus.SUCCESS)
    collector.record_pipeline_execution("p", 1, PipelineStatus.SUCCESS)
    collector.record_stage_execution("p", "s0", 1, PipelineStatus.SUCCESS)
    assert (len(collector.stages), len(collector.pipelines), collector.dropped) == (3, 0, 3)
    assert collector.stages["p", "s0"].count == 2


async def test_prometheus_gets_durations_by_status() -> None:
    registry = CollectorRegistry()
    made = pipeline(failing("a", ValueError("no")), on_error=skip()).stage(tagging("b"))
    await made.collect(PrometheusCollector(registry)).execute(Item())

    def count(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"streamapp_{name}_duration_seconds_count", labels)

    assert count("stage_execution", pipeline="p", stage="a", status="success") == 1
    assert count("pipeline_execution", pipeline="p", status="success") == 1
    assert count("pipeline_execution", pipeline="p", status="failed") is None
