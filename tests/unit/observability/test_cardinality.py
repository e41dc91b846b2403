"""The number of series is bounded by what is declared and assigned, whatever the records hold."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.samples import Sample

from streamapp.clock import Clock
from streamapp.errors import Permanent
from streamapp.observability.exporter import StageCollector
from streamapp.observability.histogram import Histogram
from streamapp.observability.labels import LABELS, LabelSource
from streamapp.observability.metric_definition import MetricDefinition
from streamapp.observability.model_usage import ModelUsage
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.partition_metrics import PartitionMetrics, Pause
from streamapp.observability.stage_definitions import STAGE_METRICS
from streamapp.observability.stage_metrics import (
    BreakerState,
    ClockSkew,
    DeadLetterReason,
    MemberState,
    Notice,
    PartFigures,
    Received,
    StageMetrics,
    TopicFault,
)
from streamapp.pipeline.agent import agent
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.pool import pool
from streamapp.policies.policy import dead_letter
from streamapp.record import TopicPartition
from tests.hand_clock import HandClock
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service

CANARY = "canary"
"""In every text that is for people and may quote a record."""


@dataclass(frozen=True)
class Shape:
    """What a stage is made of, and how much has happened to it."""

    topics: int
    partitions: int
    parts: int
    pools: int
    members: int
    models: int
    happened: int

    def bound(self, metric: MetricDefinition) -> int:
        """Most series of a metric; a histogram counts as one."""
        sizes = [self.values(label, metric) for label in metric.labels]
        return prod(sizes)

    def values(self, label: str, metric: MetricDefinition) -> int:
        """Most values of a label of a metric."""
        match LABELS[label].source:
            case LabelSource.CLOSED:
                return len(LABELS[label].values)
            case LabelSource.PARTITIONS:
                return self.partitions
            case LabelSource.TOPICS:
                # Of other metrics also outputs and retries, one for each source.
                return self.topics if "partition" in metric.labels else 3 * self.topics
            case _:
                of_parts = {"pool": self.pools, "agent": max(self.parts, self.models, self.members)}
                return of_parts.get(label, 1)


def shapes() -> st.SearchStrategy[Shape]:
    few = st.integers(0, 4)
    return st.builds(
        Shape,
        topics=st.integers(1, 4),
        partitions=st.integers(0, 40),
        parts=few,
        pools=few,
        members=few,
        models=few,
        happened=st.integers(0, 50),
    )


def stage_of(shape: Shape, clock: HandClock) -> StageMetrics:
    """A stage to which everything has happened that many times, each time in another way."""
    stage = StageMetrics("p", "s", "t0")
    stage.batch_records = Histogram(unit_seconds=1, buckets=16)
    retries = [f"r{n}" for n in range(shape.topics)]
    stage.retry_topics, stage.read_retry_topics = tuple(retries), retries
    stage.parts = {f"part{n}": PartFigures() for n in range(shape.parts)}
    stage.models = {f"model{n}": ModelUsage() for n in range(shape.models)}
    members = [
        MemberState(f"member{n}", 0, 1, BreakerState.OPEN, 0, 0, 0) for n in range(shape.members)
    ]
    stage.pools = {f"pool{n}": lambda _: members for n in range(shape.pools)}
    for topic in (f"t{n}" for n in range(shape.topics)):
        stage.received[topic] = Received(1, 1)
        stage.records_out[f"{topic}-out"] = 1
        stage.topic_faults[topic] = TopicFault(f"{CANARY} is gone", 0.0)
        stage.topic_partitions = {**stage.topic_partitions, topic: shape.partitions}
        for partition in range(shape.partitions):
            stage.partitions[TopicPartition(topic, partition)] = PartitionMetrics(
                7, 0.0, Pause.KEY_BACKLOG, 5, 0.0, 0.0, 5.0, 5.0
            )
    stage.records_out |= dict.fromkeys(retries, 1)
    for n in range(shape.happened):
        happen(stage, f"{CANARY}-{n}", n)
    clock.advance(100)
    return stage


def happen(stage: StageMetrics, text: str, n: int) -> None:
    """Something that is like nothing before it."""
    stage.attempt_duration.observe(1 << n)
    stage.age.observe(1 << n)
    stage.letter_kinds.count(text, text, DeadLetterReason.FAILED, n)
    stage.held_since, stage.held_reason = 0.0, text
    stage.blocked_by = stage.waits_for = text
    stage.positions_moved = stage.foreign_members = Notice(text, 0.0)
    stage.clock_skew = ClockSkew(text, n, 0.0)
    stage.dead_letters[DeadLetterReason.FAILED] += 1
    stage.open_letters = OpenLetters("dlq", n, 0.0, 60.0)
    stage.last_commit_at = stage.last_progress_at = 0.0
    stage.position = 1


def samples_of(stages: list[StageMetrics], clock: Clock) -> Iterator[tuple[str, Sample]]:
    """Each series with the name of its metric."""
    collector = StageCollector(clock)
    for stage in stages:
        collector.add(stage)
    for family, metric in zip(collector.collect(), STAGE_METRICS, strict=False):
        assert family.name == metric.name.removesuffix("_total")
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_sum")):
                yield metric.name, sample


@settings(max_examples=40, deadline=None)
@given(shapes())
def test_a_metric_has_no_more_series_than_its_labels_allow(shape: Shape) -> None:
    clock = HandClock()
    stage = stage_of(shape, clock)
    samples = list(samples_of([stage], clock))
    count = Counter(name for name, _ in samples)
    assert {m.name: m.name for m in STAGE_METRICS if count[m.name] > shape.bound(m)} == {}
    assert not [sample for _, sample in samples if CANARY in "".join(sample.labels.values())]


@settings(max_examples=20, deadline=None)
@given(shapes())
def test_no_series_of_a_partition_outlives_its_assignment(shape: Shape) -> None:
    clock = HandClock()
    stage = stage_of(shape, clock)
    kept = TopicPartition("t0", 0)
    stage.partitions = {name: one for name, one in stage.partitions.items() if name == kept}
    left = {
        (sample.labels["topic"], int(sample.labels["partition"]))
        for _, sample in samples_of([stage], clock)
        if "partition" in sample.labels
    }
    assert left == set(stage.partitions)


class UniqueError(Exception):
    pass


@agent
async def first(value: bytes) -> bytes:
    await asyncio.sleep(0.001)
    return value


@agent
def second(value: bytes) -> bytes:
    if value.endswith(b"1"):
        raise Permanent(f"{CANARY} {value!r}")
    if value.endswith(b"2"):
        raise type(f"Error{value.decode()}", (UniqueError,), {})(f"{CANARY} {value!r}")
    return value


def joined(_: bytes, one: bytes, other: bytes) -> bytes:
    return one + other


@in_virtual_time
async def test_records_make_no_series_however_many_and_different_they_are() -> None:
    broker = await broker_for("p")
    both = parallel(pool(first, second, name="either", capacity=4), second).join(joined)
    stage = service(broker, one_stage(both, dead_letter(), concurrency=4, breaker=None))

    async def series_after(total: int) -> set[str]:
        known = sum(stage.metrics[0].outcomes.values())
        await broker.write("p-in", *((b"key%d" % n, b"%d" % n) for n in range(known, total)))
        await until(lambda: stage.metrics[0].acknowledged_records == total)
        found = samples_of(list(stage.metrics), broker.clock)
        return {f"{sample.name}{sorted(sample.labels.items())}" for _, sample in found}

    async with running(stage):
        few = await series_after(20)
        many = await series_after(500)
        kinds = stage.metrics[0].letter_kinds.list()
        assert len(kinds) > 20
    # What is wrong comes and goes, out of a closed set.
    assert {one for one in few ^ many if not one.startswith("streamapp_stage_cause")} == set()
    assert CANARY not in "".join(many)
