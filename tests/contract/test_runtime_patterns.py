"""A stage that reads topics by a pattern: those that match, those that come, those that go."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from streamapp.brokers.protocols import TopicSpec
from streamapp.clock import SystemClock
from streamapp.errors import TopicError
from streamapp.observability.health import stage_health
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import retry_later
from streamapp.runtime.config import RuntimeConfig
from streamapp.topics.topic_pattern import TopicPattern
from tests.contract.harness import Subject
from tests.contract.pipelines import QUICK, Item, Rig, error_headers, eventually
from tests.kafka import unique_name

MINUTE_SECONDS = 60.0
LOOKING = replace(QUICK, topic_check_interval_seconds=0.5, topic_list_interval_seconds=0.5)


class Sibling(BaseModel):
    """A value with the same fields as an `Item`."""

    n: int
    text: str = ""


@agent
def named(value: Item | Sibling, context: Context) -> Item:
    return Item(n=value.n, text=f"{type(value).__name__} {context.topic.rpartition('.')[2]}")


@agent
def same(item: Item) -> Item:
    return item


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("patterns"))


def by_pattern(rig: Rig, **options: Any) -> Pipeline[Item, Item]:
    return Pipeline(rig.name, source=TopicPattern(rf"{rig.name}\.in\..*", Item, **options))


async def make(rig: Rig, *ends: str, partitions: int = 1) -> None:
    async with rig.subject.admin() as admin:
        await admin.create_topics([TopicSpec(f"{rig.name}.{end}", partitions) for end in ends])


async def put(rig: Rig, end: str, numbers: Collection[int], *, partition: int = 0) -> None:
    records = [(b"%d" % (n % 5), b'{"n":%d}' % n) for n in numbers]
    await rig.put(records, topic=f"{rig.name}.{end}", partition=partition)


async def texts(rig: Rig) -> list[tuple[int, str]]:
    values = [orjson.loads(record.value or b"") for record in await rig.read(rig.out)]
    return sorted((value["n"], value["text"]) for value in values)


def topics_of(metrics: StageMetrics, rig: Rig) -> set[str]:
    return {name.topic.removeprefix(f"{rig.name}.") for name in metrics.partitions}


def is_well(metrics: StageMetrics) -> bool:
    return stage_health(metrics, SystemClock().monotonic(), 1.0).ok and not metrics.topic_faults


async def test_a_named_topic_and_topics_that_match_are_read_each_as_its_type(rig: Rig) -> None:
    pattern = TopicPattern(rf"{rig.name}\.in\..*", Sibling)
    pipeline = Pipeline(rig.name, source=(rig.source(), pattern)).stage(named).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await make(rig, "in.a", "in.b", "inx", "other")
    await rig.put_items([0])
    for n, end in enumerate(("in.a", "in.b", "inx", "other"), 1):
        await put(rig, end, [n])
    await rig.put([(b"k", b"{")], topic=f"{rig.name}.in.b")
    service = await rig.run_to_end(pipeline)
    assert await texts(rig) == [(0, "Item in"), (1, "Sibling a"), (2, "Sibling b")]
    [letter] = await rig.read(rig.dead_letters("named"))
    assert error_headers(letter)["topic"] == f"{rig.name}.in.b"
    received = service.metrics[0].received
    assert {topic: own.records for topic, own in received.items()} == {
        f"{rig.name}.in": 1,
        f"{rig.name}.in.a": 1,
        f"{rig.name}.in.b": 2,
    }


async def test_what_the_pipeline_writes_and_dead_letters_never_match(rig: Rig) -> None:
    pipeline = (
        Pipeline(rig.name, source=TopicPattern(rf"{rig.name}\..*", Item))
        .stage(same, dead_letters=f"{rig.name}.failures")
        .stage(same, name="again")
        .sink(rig.out)
    )
    await rig.create(pipeline, partitions=1)
    await make(rig, "in", "x.y.dlq", "x.y.replay", "x.y.retry-10s")
    for end in ("in", "x.y.dlq", "x.y.replay", "x.y.retry-10s", "failures"):
        await put(rig, end, [1])
    service = await rig.run_to_end(pipeline)
    assert set(service.metrics[0].received) == {f"{rig.name}.in"}
    assert await rig.read_numbers(rig.out) == [1]


async def test_a_new_topic_is_read_by_two_workers_from_its_beginning(rig: Rig) -> None:
    pipeline = by_pattern(rig).stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await make(rig, "in.a", partitions=2)
    async with (
        rig.running(pipeline, config=LOOKING) as one,
        rig.running(pipeline, config=LOOKING) as two,
    ):
        metrics = [service.metrics[0] for service in (one, two)]
        await eventually(lambda: [len(own.partitions) for own in metrics] == [1, 1])
        written: list[int] = []
        owned_twice: set[Any] = set()
        enough = asyncio.Event()

        async def feed() -> None:
            while not enough.is_set():
                start = len(written)
                await put(rig, "in.a", range(start, start + 10), partition=start // 10 % 2)
                written.extend(range(start, start + 10))
                owned_twice.update(set(metrics[0].partitions).intersection(metrics[1].partitions))
                await asyncio.sleep(0.05)

        feeding = asyncio.create_task(feed())
        await eventually(lambda: len(written) > 50)
        await make(rig, "in.b", partitions=4)
        for partition in range(4):
            start = 10_000 + 100 * partition
            await put(rig, "in.b", range(start, start + 100), partition=partition)
        await eventually(
            lambda: sorted(len(own.partitions) for own in metrics) == [3, 3],
            seconds=MINUTE_SECONDS,
        )
        rebalances = sum(own.rebalances for own in metrics)
        for partition in range(4):
            start = 20_000 + 100 * partition
            await put(rig, "in.b", range(start, start + 100), partition=partition)
        seen = len(written)
        await eventually(lambda: len(written) > seen + 50)
        enough.set()
        await feeding
        await eventually(lambda: all(own.lag_records == 0 for own in metrics))
        assert not owned_twice
        assert not set(metrics[0].partitions).intersection(metrics[1].partitions)
        assert not any(own.topic_faults for own in metrics)
        assert sum(own.rebalances for own in metrics) == rebalances  # it has settled
    expected = [*written, *range(10_000, 10_400), *range(20_000, 20_400)]
    assert sorted(set(await rig.read_numbers(rig.out))) == expected


async def test_a_pattern_without_topics_waits_for_one(rig: Rig) -> None:
    pipeline = by_pattern(rig).stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    async with rig.running(pipeline, config=LOOKING) as service:
        metrics = service.metrics[0]
        await eventually(lambda: metrics.rebalances > 0)
        health = stage_health(metrics, SystemClock().monotonic(), 60.0)
        waiting = rf"running, waits for a topic that matches {rig.name}\.in\..*"
        assert (health.ok, health.reason) == (True, waiting)
        await make(rig, "in.first")
        await put(rig, "in.first", [1, 2])
        await eventually(lambda: metrics.records_out[rig.out] == 2, seconds=MINUTE_SECONDS)
        await eventually(lambda: metrics.lag_records == 0)
        health = stage_health(metrics, SystemClock().monotonic(), 60.0)
        assert (health.ok, health.reason) == (True, "running, no lag")


async def test_a_deleted_topic_is_let_go_and_the_others_are_read_on(rig: Rig) -> None:
    pipeline = by_pattern(rig).stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await make(rig, "in.a", "in.b", partitions=2)
    await put(rig, "in.b", [1])
    async with (
        rig.running(pipeline, config=LOOKING) as one,
        rig.running(pipeline, config=LOOKING) as two,
    ):
        metrics = [service.metrics[0] for service in (one, two)]
        await eventually(lambda: sum(own.records_out[rig.out] for own in metrics) == 1)
        await eventually(lambda: all(len(own.partitions) == 2 for own in metrics))
        async with rig.subject.admin() as admin:
            await admin.delete_topics([f"{rig.name}.in.b"])
        await eventually(
            lambda: all(topics_of(own, rig) == {"in.a"} for own in metrics),
            seconds=MINUTE_SECONDS,
        )
        await put(rig, "in.a", [2])
        await put(rig, "in.a", [3], partition=1)
        await eventually(
            lambda: sum(own.records_out[rig.out] for own in metrics) == 3, seconds=MINUTE_SECONDS
        )
        await eventually(
            lambda: all(own.lag_records == 0 and is_well(own) for own in metrics),
            seconds=MINUTE_SECONDS,
        )
        assert f"{rig.name}.in.b" not in {topic for own in metrics for topic in own.received}
        await make(rig, "in.b")
        await put(rig, "in.b", [4])
        await eventually(
            lambda: sum(own.records_out[rig.out] for own in metrics) == 4, seconds=MINUTE_SECONDS
        )
    assert sorted(await rig.read_numbers(rig.out)) == [1, 2, 3, 4]


async def test_bounded_work_reads_the_topics_that_match_at_its_start(rig: Rig) -> None:
    pipeline = by_pattern(rig).stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.run_to_end(pipeline)  # there is none
    await make(rig, "in.a", "in.b")
    await put(rig, "in.a", range(5))
    await put(rig, "in.b", range(5, 9))
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == list(range(9))


async def test_more_topics_than_max_topics_are_refused_at_the_start(rig: Rig) -> None:
    pipeline = by_pattern(rig, max_topics=1).stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await make(rig, "in.a", "in.b")
    with pytest.raises(TopicError, match=r"2 topics match the pattern .* and max_topics is 1"):
        await rig.run_to_end(pipeline)


async def test_topics_beyond_max_topics_are_told_and_not_read(rig: Rig) -> None:
    pipeline = by_pattern(rig, max_topics=1).stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await make(rig, "in.b")
    async with rig.running(pipeline, config=LOOKING) as service:
        metrics = service.metrics[0]
        await eventually(lambda: topics_of(metrics, rig) == {"in.b"})
        await make(rig, "in.a")
        await eventually(lambda: bool(metrics.topic_faults), seconds=MINUTE_SECONDS)
        health = stage_health(metrics, SystemClock().monotonic(), 0.0)
        assert not health.ok
        assert "2 topics match the pattern" in health.reason
        await put(rig, "in.b", [1])
        await eventually(lambda: metrics.records_out[rig.out] == 1)
        assert topics_of(metrics, rig) == {"in.b"}
        async with rig.subject.admin() as admin:
            await admin.delete_topics([f"{rig.name}.in.a"])
        await eventually(lambda: not metrics.topic_faults, seconds=MINUTE_SECONDS)


def test_topics_are_looked_for_within_a_minute() -> None:
    config = RuntimeConfig()
    assert config.topic_list_interval_seconds + 2 * config.topic_check_interval_seconds <= 60


async def test_a_record_of_a_topic_that_matches_is_retried_later_as_its_type(rig: Rig) -> None:
    tried: set[int] = set()

    @agent
    def once_more(value: Item | Sibling, context: Context) -> Item:
        if value.n not in tried:
            tried.add(value.n)
            raise ValueError("not yet")
        return Item(n=value.n, text=f"{type(value).__name__} {context.attempt}")

    pattern = TopicPattern(rf"{rig.name}\.in\..*", Sibling)
    pipeline = (
        Pipeline(rig.name, source=(rig.source(), pattern))
        .stage(once_more, on_error=retry_later([1]))
        .sink(rig.out)
    )
    await rig.create(pipeline, partitions=1)
    await make(rig, "in.a")
    await rig.put_items([0])
    await put(rig, "in.a", [1])
    async with rig.running(pipeline) as service:
        moved = service.metrics[0].records_out
        await eventually(lambda: moved[f"{rig.name}.once-more.retry-1s"] == 2)
    await rig.run_to_end(pipeline)  # a worker that has read nothing of the topic itself
    assert await texts(rig) == [(0, "Item 2"), (1, "Sibling 2")]


async def test_a_static_worker_that_restarts_reads_what_matches_since(rig: Rig) -> None:
    pipeline = by_pattern(rig).stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await make(rig, "in.a", partitions=2)
    one, two = (replace(LOOKING, instance_id=f"{rig.name}-{n}") for n in "12")
    async with rig.running(pipeline, config=one) as staying:
        async with rig.running(pipeline, config=two) as first:
            metrics = [staying.metrics[0], first.metrics[0]]
            await eventually(lambda: [len(own.partitions) for own in metrics] == [1, 1])
        await make(rig, "in.b", partitions=2)
        await put(rig, "in.a", [0, 1])
        await put(rig, "in.a", [2, 3], partition=1)
        async with rig.running(pipeline, config=two) as again:
            metrics[1] = again.metrics[0]
            await put(rig, "in.b", [4])
            await put(rig, "in.b", [5], partition=1)
            await eventually(
                lambda: [len(own.partitions) for own in metrics] == [2, 2], seconds=MINUTE_SECONDS
            )
            await eventually(lambda: all(own.lag_records == 0 for own in metrics))
            assert not set(metrics[0].partitions) & set(metrics[1].partitions)
    assert sorted(set(await rig.read_numbers(rig.out))) == list(range(6))
