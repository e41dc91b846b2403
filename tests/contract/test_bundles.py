"""Pipelines in a bundle: each keeps what is promised, and one that ends holds no other back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import pytest

from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.errors import StageError, StageStoppedError
from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.agent import agent
from streamapp.policies.policy import stop
from streamapp.record import TopicPartition
from tests.contract import (
    test_runtime_failures,
    test_runtime_flow,
    test_runtime_replay,
    test_runtime_restart,
    test_runtime_retry_later,
    test_runtime_topics,
)
from tests.contract.conftest import kafka_subject, memory_subject
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.contract.pipelines import Item, Rig, eventually
from tests.kafka import Kafka, unique_name
from tests.patience import within

KEPT_ALIKE: list[Callable[[Rig], Awaitable[None]]] = [
    test_runtime_flow.test_no_more_is_taken_than_the_bound_allows,
    test_runtime_flow.test_work_that_does_not_end_in_time_is_delivered_again,
    test_runtime_flow.test_two_workers_share_and_a_clean_handover_repeats_nothing,
    test_runtime_flow.test_records_that_come_before_their_partition_is_open_are_not_lost,
    test_runtime_restart.test_a_restart_skips_what_was_finished_beyond_the_frontier,
    test_runtime_restart.test_a_rebalance_skips_what_was_finished_beyond_the_frontier,
    test_runtime_retry_later.test_a_rebalance_while_records_wait_neither_loses_nor_hastens_them,
    test_runtime_failures.test_a_failed_batch_is_delivered_again_and_not_dead_lettered,
    test_runtime_failures.test_fusing_changes_nothing_but_the_topic_between,
    test_runtime_replay.test_a_letter_that_was_sent_back_is_worked_on_as_the_record_that_it_was,
    test_runtime_replay.test_a_replay_topic_that_comes_while_two_workers_run_is_read_by_both,
]
"""What pipelines with groups of their own are held to as well."""


WHERE_KAFKA_DECIDES = [*KEPT_ALIKE[2:6], KEPT_ALIKE[-1]]
"""Those of them in which partitions are given back, or commits are read again."""


@pytest.fixture
def rig() -> Rig:
    return Rig(memory_subject(), unique_name("bundled"), is_bundled=True)


@pytest.fixture
def kafka_rig(kafka: Kafka) -> Rig:
    return Rig(kafka_subject(kafka), unique_name("bundled"), is_bundled=True)


@pytest.mark.parametrize("test", KEPT_ALIKE, ids=lambda test: test.__name__)
async def test_in_a_bundle(rig: Rig, test: Callable[[Rig], Awaitable[None]]) -> None:
    await test(rig)


@pytest.mark.parametrize("test", WHERE_KAFKA_DECIDES, ids=lambda test: test.__name__)
async def test_in_a_bundle_on_kafka(kafka_rig: Rig, test: Callable[[Rig], Awaitable[None]]) -> None:
    await test(kafka_rig)


async def test_added_partitions_are_read_within_a_minute(rig: Rig) -> None:
    await test_runtime_topics.test_added_partitions_are_read_within_a_minute(
        rig, test_runtime_topics.WATCHED
    )


@agent
def picky(item: Item) -> Item:
    if item.n == 2:
        raise ValueError("two is too many")
    return item


async def put_beside(rig: Rig, *numbers: int) -> None:
    for name in rig.beside:
        await rig.put([(b"k", b'{"n":%d}' % n) for n in numbers], topic=f"{name}.in")


async def all_written_beside(rig: Rig, metrics: Any, count: int) -> None:
    for one, name in zip(metrics[1:], rig.beside, strict=True):
        await eventually(lambda one=one, name=name: one.records_out[f"{name}.out"] == count)


async def test_a_stage_that_stops_lets_the_others_go_on_and_its_record_is_the_next(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(subject, unique_name("bundled"), is_bundled=True)
    pipeline = rig.pipeline().stage(picky, name="picky", on_error=stop()).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(5), keys=1)
    await put_beside(rig, 0)
    service = rig.service(pipeline)
    task = asyncio.create_task(service.run())
    stopped, *others = service.metrics
    await eventually(lambda: stopped.state is StageState.FAILED)
    assert stopped.is_contained
    [told] = [line for line in caplog.messages if "the others of the bundle" in line]
    assert told.endswith("at offset 2: raised at test_bundles.py:picky")  # no message of an agent
    await put_beside(rig, 1, 2)
    await all_written_beside(rig, service.metrics, 3)
    assert [one.state for one in others] == [StageState.RUNNING] * 2
    assert await rig.committed("picky") == {rig.first_partition(): 2}
    assert stopped.in_flight_records == stopped.in_flight_bytes == 0
    assert service.failed == {pipeline.name: "StageStoppedError"}
    service.stop()
    with pytest.raises(StageStoppedError, match="offset 2"):
        async with within(PATIENCE_SECONDS, "the service to stop"):
            await task
    assert await rig.committed("picky") == {rig.first_partition(): 2}


async def test_a_rebalance_leaves_the_partitions_of_a_stage_that_stopped_uncommitted(
    rig: Rig,
) -> None:
    pipeline = rig.pipeline().stage(picky, name="picky", on_error=stop()).sink(rig.out)
    await rig.create(pipeline, partitions=2)
    for partition in (0, 1):
        await rig.put_items([1, 2, 3], keys=1, partition=partition)
    service = rig.service(pipeline)
    task = asyncio.create_task(service.run())
    await eventually(lambda: service.metrics[0].state is StageState.FAILED)
    other = rig.service(pipeline)
    beside = asyncio.create_task(other.run())
    await eventually(lambda: service.metrics[1].rebalances == 2)
    await put_beside(rig, 0, 1)
    for one, name in zip(service.metrics[1:], rig.beside, strict=True):
        twin = other.metrics[service.metrics.index(one)]
        topic = f"{name}.out"
        await eventually(
            lambda one=one, twin=twin, topic=topic: (
                one.records_out[topic] + twin.records_out[topic] == 2
            )
        )
    service.stop()
    other.stop()
    await asyncio.wait({task, beside}, timeout=PATIENCE_SECONDS)
    assert isinstance(task.exception(), StageStoppedError)
    assert max((await rig.committed("picky")).values()) <= 1


async def test_with_its_last_stage_the_worker_ends(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(picky, name="picky", on_error=stop()).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items([2])
    with pytest.raises(StageStoppedError, match="offset 0"):
        async with within(PATIENCE_SECONDS, "the service to end"):
            await rig.alone_in_its_bundle(pipeline).run()


async def test_bounded_work_ends_although_a_stage_has_stopped(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(picky, name="picky", on_error=stop()).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(5), keys=1)
    await put_beside(rig, 0, 1)
    service = rig.service(pipeline)
    with pytest.raises(StageStoppedError, match="offset 2"):
        await service.run(until_end=True)
    assert service.failed == {pipeline.name: "StageStoppedError"}
    for name in rig.beside:
        assert await rig.read_numbers(f"{name}.out") == [0, 1]


async def test_an_unreadable_record_ends_one_stage_of_a_bundle(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(picky, name="picky").sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items([0])
    await rig.subject.put_unreadable(TopicPartition(rig.source().name, 0))
    service = rig.service(pipeline)
    task = asyncio.create_task(service.run())
    await eventually(lambda: service.metrics[0].state is StageState.FAILED)
    await put_beside(rig, 0)
    await all_written_beside(rig, service.metrics, 1)
    service.stop()
    await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    assert "cannot be read" in str(task.exception())


class Dying:
    """An agent whose task group fails when it is told to."""

    def __init__(self) -> None:
        self.is_over = asyncio.Event()

    async def __call__(self, item: Item) -> Item:
        return item

    async def open(self) -> None:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._group.create_task(self._fail())

    async def close(self) -> None:
        await self._group.__aexit__(None, None, None)

    async def _fail(self) -> None:
        await self.is_over.wait()
        raise ConnectionError("gone")


async def test_an_agent_that_ends_by_itself_ends_its_stage_only(rig: Rig) -> None:
    dying = Dying()
    pipeline = rig.pipeline().stage(agent(name="dying")(dying), name="dying").sink(rig.out)
    await rig.create(pipeline, partitions=1)
    service = rig.service(pipeline)
    task = asyncio.create_task(service.run())
    await eventually(lambda: service.metrics[0].rebalances == 1)
    dying.is_over.set()
    await eventually(lambda: service.metrics[0].state is StageState.FAILED)
    assert service.metrics[0].is_contained
    await put_beside(rig, 0)
    await all_written_beside(rig, service.metrics, 1)
    service.stop()
    await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    assert isinstance(task.exception(), StageError)


async def test_a_fault_of_the_consumer_that_all_share_ends_the_worker(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = rig.pipeline().stage(picky, name="picky").sink(rig.out)
    await rig.create(pipeline, partitions=1)
    service = rig.service(pipeline)
    task = asyncio.create_task(service.run())
    await eventually(lambda: all(one.rebalances for one in service.metrics))

    async def fail(_consumer: MemoryConsumer, _timeout_seconds: float) -> NoReturn:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(MemoryConsumer, "wait_for_records", fail)
    await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    assert task.done()
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, KeyError)
