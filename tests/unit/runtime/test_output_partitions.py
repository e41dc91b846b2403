"""Partitions that are added to an output topic: all workers of a stage use them, or none does."""

import asyncio

import pytest

from streamapp.brokers.partitioner import partition_for
from streamapp.brokers.protocols import TopicSpec
from streamapp.observability.health import stage_health
from streamapp.pipeline.agent import agent
from streamapp.pipeline.out import Out
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

UNWATCHED = RuntimeConfig(topic_check_interval_seconds=10_000)
KEYS = [b"%d" % number for number in range(40)]


@agent
def rekeyed(value: bytes) -> Out[bytes]:
    """Give the same keys for records of all input partitions."""
    return Out(value, key=value.split(b":")[0])


def written(broker: FaultyBroker, mark: bytes, partitions: int) -> dict[bytes, set[int]]:
    """The partitions in which the outputs of each key are, of those with this mark."""
    found: dict[bytes, set[int]] = {}
    for number in range(partitions):
        for record in broker.records("p-out", number):
            if (record.value or b"").endswith(mark):
                found.setdefault(record.key or b"", set()).add(number)
    return found


async def write(broker: FaultyBroker, mark: bytes, *, inputs: int = 2) -> None:
    """Write each key to every input partition, so that different workers give it."""
    for number in range(inputs):
        await broker.write("p-in", *[(key, key + mark) for key in KEYS], partition=number)


def placed(partitions: int) -> dict[bytes, set[int]]:
    return {key: {partition_for(key, partitions)} for key in KEYS}


async def until_written(broker: FaultyBroker, mark: bytes, partitions: int, inputs: int) -> None:
    def count() -> int:
        return sum(
            (record.value or b"").endswith(mark)
            for number in range(partitions)
            for record in broker.records("p-out", number)
        )

    await until(lambda: count() == inputs * len(KEYS))


@in_virtual_time
async def test_added_partitions_are_used_by_all_workers_of_a_stage_from_one_rebalance_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_for("p", partitions=2)
    one, two = (service(broker, one_stage(rekeyed)) for _ in range(2))
    async with running(one), running(two):
        await until(lambda: [len(s.metrics[0].partitions) for s in (one, two)] == [1, 1])
        await write(broker, b":before")
        await until_written(broker, b":before", 2, inputs=2)
        rebalances = one.metrics[0].rebalances
        await broker.admin().add_partitions("p-out", 5)
        await until(lambda: one.metrics[0].rebalances > rebalances, seconds=15)
        await until(lambda: [len(s.metrics[0].partitions) for s in (one, two)] == [1, 1])
        await write(broker, b":after")
        await until_written(broker, b":after", 5, inputs=2)
        await asyncio.sleep(60)
        assert one.metrics[0].rebalances == rebalances + 1
        assert not one.metrics[0].topic_faults
    assert written(broker, b":before", 5) == placed(2)
    assert written(broker, b":after", 5) == placed(5)
    told = {record.getMessage() for record in caplog.records}
    assert (
        "stage stage of p: from now on its workers write to 5 partitions of topic p-out instead of"
        " 2; keys go to other partitions than their earlier records"
    ) in told


@in_virtual_time
async def test_a_worker_that_joins_and_those_that_were_there_use_one_number() -> None:
    broker = await broker_for("p", partitions=2)
    one, two = (service(broker, one_stage(rekeyed), config=UNWATCHED) for _ in range(2))
    async with running(one):
        await until(lambda: len(one.metrics[0].partitions) == 2)
        await broker.admin().add_partitions("p-out", 5)
        await write(broker, b":alone")
        await until_written(broker, b":alone", 5, inputs=2)
        async with running(two):
            await until(lambda: [len(s.metrics[0].partitions) for s in (one, two)] == [1, 1])
            await write(broker, b":both")
            await until_written(broker, b":both", 5, inputs=2)
    assert written(broker, b":alone", 5) == placed(2), "nothing has changed for it yet"
    assert written(broker, b":both", 5) == placed(5)


@in_virtual_time
async def test_what_is_not_used_yet_is_said_and_unhealthy_when_it_lasts() -> None:
    broker = await broker_for("p")
    leader = service(broker, one_stage(same), config=UNWATCHED)
    stage = service(broker, one_stage(same))
    [metrics] = stage.metrics
    async with running(leader):
        await until(lambda: leader.metrics[0].rebalances == 1)
        async with running(stage):
            await until(lambda: metrics.rebalances == 1)
            await broker.admin().add_partitions("p-out", 3)
            await until(lambda: "p-out" in metrics.topic_faults, seconds=20)
            fault = metrics.topic_faults["p-out"]
            assert fault.reason == "topic p-out has 3 partitions, and outputs go to 1"
            assert not fault.hides_lag
            await asyncio.sleep(60)
            assert not stage_health(metrics, loop().time(), 60.0).ok


@pytest.mark.parametrize("partitions", [1, 4])
@in_virtual_time
async def test_an_output_topic_that_is_made_anew_with_another_number_is_written_to_again(
    partitions: int,
) -> None:
    broker = await broker_for("p", partitions=3)
    stage: Service = service(broker, one_stage(rekeyed))
    async with running(stage):
        await until(lambda: len(stage.metrics[0].partitions) == 3)
        await broker.admin().delete_topics(["p-out"])
        await broker.admin().create_topics([TopicSpec("p-out", partitions)])
        await asyncio.sleep(15)
        await write(broker, b":anew", inputs=1)
        await until_written(broker, b":anew", partitions, inputs=1)
    assert written(broker, b":anew", partitions) == placed(partitions)


@in_virtual_time
async def test_without_an_answer_during_an_assignment_the_number_stays_until_the_next_look() -> (
    None
):
    broker = await broker_for("p", partitions=2)
    one, two = (service(broker, one_stage(rekeyed)) for _ in range(2))
    async with running(one):
        await until(lambda: len(one.metrics[0].partitions) == 2)
        broker.counts_refused = True
        await broker.admin().add_partitions("p-out", 5)
        async with running(two):  # it was told of five before questions were refused
            await until(lambda: [len(s.metrics[0].partitions) for s in (one, two)] == [1, 1])
            rebalances = two.metrics[0].rebalances
            broker.counts_refused = False
            await until(lambda: two.metrics[0].rebalances > rebalances, seconds=20)
            await until(lambda: [len(s.metrics[0].partitions) for s in (one, two)] == [1, 1])
            await write(broker, b":then")
            await until_written(broker, b":then", 5, inputs=2)
    assert written(broker, b":then", 5) == placed(5)
