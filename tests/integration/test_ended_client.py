"""A background task of the Kafka client ends by itself: the stage starts a client anew."""

import asyncio
import gc
import logging
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer

from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from tests.contract.conftest import kafka_subject
from tests.contract.pipelines import Item, Rig, eventually
from tests.kafka import Kafka, unique_name

ENDS = {
    "membership": lambda consumer: consumer._coordinator._coordination_task,
    "fetching": lambda consumer: consumer._fetcher._fetch_task,
    "metadata": lambda consumer: consumer._client._sync_task,
}


@agent
def same(item: Item) -> Item:
    return item


@pytest.mark.parametrize("is_bundled", [False, True], ids=["alone", "bundled"])
@pytest.mark.parametrize("task_of", ENDS.values(), ids=ENDS)
async def test_a_stage_reads_on_with_a_new_client(
    kafka: Kafka,
    task_of: Callable[[AIOKafkaConsumer], "asyncio.Task[None]"],
    *,
    is_bundled: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    rig = Rig(kafka_subject(kafka), unique_name("ended"), is_bundled=is_bundled)
    pipeline = Pipeline(rig.name, source=rig.source()).stage(same).sink(rig.out)
    await rig.create(pipeline)
    async with rig.running(pipeline) as service:
        [metrics] = [one for one in service.metrics if one.pipeline == rig.name]
        await rig.put_items(range(5))
        await eventually(lambda: sum(metrics.records_out.values()) == 5)
        for consumer in running_consumers():
            task_of(consumer).cancel()
        await eventually(lambda: "ended by itself" in caplog.text)
        await rig.put_items(range(5, 10))
        await eventually(lambda: sum(metrics.records_out.values()) >= 10)
    # What was finished is committed before partitions are given back, where the group still hears.
    numbers = await rig.read_numbers(rig.out)
    assert set(numbers) == set(range(10))
    assert [n for n in dict.fromkeys(numbers) if n % 5 == 0] == [0, 5]


def running_consumers() -> list[AIOKafkaConsumer]:
    consumers = [one for one in gc.get_objects() if isinstance(one, AIOKafkaConsumer)]
    return [one for one in consumers if one._fetcher is not None and not one._closed]
