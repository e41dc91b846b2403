"""A pipeline while its Kafka is gone, and after."""

import asyncio
from pathlib import Path

import pytest

from streamapp.clock import SystemClock
from streamapp.observability.health import stage_health, stage_readiness
from streamapp.pipeline.agent import agent
from tests.contract.conftest import kafka_subject
from tests.contract.pipelines import Item, Rig, eventually
from tests.kafka import running_kafka, unique_name

pytestmark = pytest.mark.kafka


@agent
def same(item: Item) -> Item:
    return item


async def test_an_outage_is_told_and_the_work_goes_on_after_it(tmp_path: Path) -> None:
    with running_kafka(tmp_path) as kafka:
        rig = Rig(kafka_subject(kafka), unique_name("outage"))
        pipeline = rig.pipeline().stage(same).sink(rig.out)
        await rig.create(pipeline)
        clock = SystemClock()
        async with rig.running(pipeline) as service:
            metrics = service.metrics[0]
            await rig.put_items(range(100))
            await eventually(lambda: metrics.records_out[rig.out] == 100)
            assert stage_readiness(metrics, clock.monotonic()).ok

            await asyncio.to_thread(kafka.broker.down, keep_data=True)
            await eventually(lambda: metrics.cut_off_since is not None, seconds=60)
            soon = clock.monotonic() + 11
            assert not stage_readiness(metrics, soon).ok
            assert not stage_health(metrics, soon, 10).ok

            await asyncio.to_thread(kafka.broker.up)
            await eventually(lambda: metrics.cut_off_since is None, seconds=60)
            await rig.put_items(range(100, 200))
            await eventually(lambda: metrics.records_out[rig.out] >= 200, seconds=60)
        came = await rig.read_numbers(rig.out)
    assert set(came) == set(range(200))
