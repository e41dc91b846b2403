"""Topics that are deleted, made anew or grow while a stage reads them, and what health says."""

import asyncio
import logging

import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.observability.health import StageHealth, stage_health
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service

NEVER = 10_000.0
STALL_SECONDS = 60.0
LONG = RuntimeConfig(topic_check_interval_seconds=NEVER)
SOURCE = TopicPartition("p-in", 0)


def health(broker: FaultyBroker, stage: Service) -> StageHealth:
    return stage_health(stage.metrics[0], broker.clock.monotonic(), STALL_SECONDS)


def lags(metrics: StageMetrics) -> list[int | None]:
    return [partition.lag_records for partition in metrics.partitions.values()]


@in_virtual_time
async def test_a_first_assignment_that_never_comes_is_unhealthy_within_the_time() -> None:
    broker = await broker_for("p")
    broker.joins_unanswered = True
    stage = service(broker, one_stage(same))
    async with running(stage):
        await asyncio.sleep(STALL_SECONDS - 1)
        assert health(broker, stage).ok
        await asyncio.sleep(1)
        assert health(broker, stage) == StageHealth(
            ok=False, reason="no assignment from its group for 60 s", works=False
        )


@in_virtual_time
async def test_added_partitions_are_read_soon_though_the_group_does_not_notice() -> None:
    broker = await broker_for("p")
    broker.notice_topics_after(NEVER)
    stage, spare = service(broker, one_stage(same)), service(broker, one_stage(same))
    async with running(stage), running(spare):
        await until(lambda: len(stage.metrics[0].partitions) == 1)
        assert stage.metrics[0].topic_partitions == {"p-in": 1}
        await broker.admin().add_partitions("p-in", 3)
        await broker.write("p-in", (b"k", b"new"), partition=2)
        await until(lambda: broker.values("p-out") == [b"new"], seconds=20)
        await until(lambda: health(broker, stage).ok and health(broker, spare).ok)
        assert stage.metrics[0].topic_partitions == spare.metrics[0].topic_partitions == {"p-in": 3}
        assert not stage.metrics[0].topic_faults
        assert not spare.metrics[0].topic_faults
        rebalances = stage.metrics[0].rebalances
        await asyncio.sleep(100)
        assert stage.metrics[0].rebalances == rebalances, "it is well, and left alone"


@in_virtual_time
async def test_a_stage_is_not_said_to_be_without_lag_while_new_partitions_are_read_by_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_for("p")
    broker.notice_topics_after(NEVER)
    leader, stage = service(broker, one_stage(same), config=LONG), service(broker, one_stage(same))
    async with running(leader):
        await until(lambda: len(leader.metrics[0].partitions) == 1)
        async with running(stage):
            await until(lambda: stage.metrics[0].rebalances == 1)
            await broker.admin().add_partitions("p-in", 3)
            await until(lambda: bool(stage.metrics[0].topic_faults), seconds=20)
            said = health(broker, stage)
            assert said.ok
            assert said.reason.startswith(
                "running, 2 new partitions of topic p-in are not assigned yet"
            )
            await asyncio.sleep(STALL_SECONDS)
            assert not health(broker, stage).ok
            told = [record.getMessage() for record in caplog.records]
            assert sum("2 new partitions" in line for line in told) == 1, "once, not at each look"


@in_virtual_time
async def test_partitions_that_came_between_two_looks_are_counted_with_an_assignment() -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(same))
    async with running(stage):
        await until(lambda: len(stage.metrics[0].partitions) == 1)
        await broker.admin().add_partitions("p-in", 2)  # the group notices before the watch looks
        await until(lambda: len(stage.metrics[0].partitions) == 2)
        rebalances = stage.metrics[0].rebalances
        await asyncio.sleep(30)
        assert not stage.metrics[0].topic_faults
        assert stage.metrics[0].rebalances == rebalances


@in_virtual_time
async def test_a_deleted_source_topic_is_unhealthy_and_one_that_is_made_anew_is_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    broker = await broker_for("p")
    stage = service(broker, one_stage(same))
    async with running(stage):
        await until(lambda: lags(stage.metrics[0]) == [0])
        await broker.admin().delete_topics(["p-in"])
        await asyncio.sleep(12)
        assert health(broker, stage).ok
        await asyncio.sleep(STALL_SECONDS)
        said = health(broker, stage)
        assert not said.ok
        assert said.reason.startswith("topic p-in does not exist, for ")
        broker.notice_topics_after(NEVER)
        await broker.admin().create_topics([TopicSpec("p-in", 2)])
        await broker.write("p-in", (b"k", b"anew"), partition=1)
        await until(lambda: broker.values("p-out") == [b"anew"], seconds=20)
        await until(lambda: health(broker, stage).ok)
    told = [record.getMessage() for record in caplog.records]
    assert "stage stage of p: topic p-in does not exist" in told
    assert "stage stage of p: topic p-in is well" in told


@in_virtual_time
async def test_a_deleted_output_topic_is_a_fault_of_the_stage_that_writes_it() -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(same))
    async with running(stage):
        await until(lambda: stage.metrics[0].rebalances == 1)
        await broker.admin().delete_topics(["p.stage.dlq"])
        await asyncio.sleep(12 + STALL_SECONDS)
        assert health(broker, stage).reason.startswith("topic p.stage.dlq does not exist, for ")
        assert not health(broker, stage).ok


@in_virtual_time
async def test_the_lag_of_a_log_that_ends_before_its_frontier_is_unknown_and_not_zero() -> None:
    broker = await broker_for("p")
    broker.notice_topics_after(NEVER)
    stage = service(broker, one_stage(same), config=LONG)
    async with running(stage):
        await broker.write("p-in", (b"k", b"1"), (b"k", b"2"))
        await until(lambda: len(broker.values("p-out")) == 2)
        await until(lambda: lags(stage.metrics[0]) == [0])
        await broker.admin().delete_topics(["p-in"])
        await broker.admin().create_topics([TopicSpec("p-in", 1)])
        await broker.write("p-in", (b"k", b"anew"))
        await asyncio.sleep(2)
        assert lags(stage.metrics[0]) == [None]
        await asyncio.sleep(STALL_SECONDS)
        assert health(broker, stage).reason.startswith("lag of p-in[0] not known for ")


@in_virtual_time
async def test_a_lag_that_is_asked_of_a_deleted_topic_is_unknown_and_ends_nothing() -> None:
    broker = await broker_for("p")
    broker.notice_topics_after(NEVER)
    stage = service(broker, one_stage(same), config=LONG)
    async with running(stage) as task:
        await until(lambda: lags(stage.metrics[0]) == [0])
        await broker.admin().delete_topics(["p-in"])
        await asyncio.sleep(2)
        assert lags(stage.metrics[0]) == [None]
        assert not task.done()


@in_virtual_time
async def test_a_spare_worker_is_cut_off_while_the_broker_does_not_answer() -> None:
    broker = await broker_for("p")
    stage, spare = service(broker, one_stage(same)), service(broker, one_stage(same))
    async with running(stage), running(spare):
        await until(lambda: spare.metrics[0].rebalances > 0)
        [idle] = [one for one in (stage, spare) if not one.metrics[0].partitions]
        [busy] = {stage, spare} - {idle}
        broker.counts_refused = True
        await asyncio.sleep(12 + STALL_SECONDS)
        assert not health(broker, idle).ok
        assert health(broker, busy).ok, "its lag is measured"
        broker.counts_refused = False
        await asyncio.sleep(12)
        assert health(broker, idle).ok


@in_virtual_time
async def test_topics_are_looked_at_every_ten_seconds_by_one_question_of_a_worker() -> None:
    broker = await broker_for("p", "q")
    alone = RuntimeConfig(letter_count_interval_seconds=None)
    stage = service(broker, one_stage(same), one_stage(same, name="q"), config=alone)
    async with running(stage):
        await until(lambda: all(metrics.rebalances for metrics in stage.metrics))
        broker.counts_asked = 0
        await asyncio.sleep(100)
        assert broker.counts_asked == 10
