"""An exporter knows of stages that do not run, by what the broker says, and of those that do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from streamapp.beside import beside
from streamapp.brokers.protocols import ReadingBroker
from streamapp.clock import SystemClock
from streamapp.exporter.families import OutsideCollector
from streamapp.exporter.watch import OutsideWatch
from streamapp.pipeline.topology import build
from tests.contract.harness import Subject
from tests.contract.pipelines import eventually
from tests.contract.test_sending_back import CLOCK, Shop

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
def shop(subject: Subject) -> Shop:
    return Shop(subject)


class Outside:
    """What an exporter tells of the stage `check` of a pipeline."""

    def __init__(self, shop: Shop, broker: ReadingBroker) -> None:
        self._shop = shop
        segments = build(shop.pipeline).segments
        self.watch = OutsideWatch(broker, SystemClock(), segments, interval_seconds=0.1)
        self._registry = CollectorRegistry()
        self._registry.register(OutsideCollector(self.watch, SystemClock()))

    def of_stage(self, name: str, topic: str | None = None) -> float | None:
        """The sum of a metric of the stage over partitions; `None` without a series."""
        found = [
            sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == f"streamapp_{name}"
            and (not sample.labels or sample.labels["pipeline"] == self._shop.rig.name)
            and topic in (None, sample.labels.get("topic"))
        ]
        return sum(found) if found else None


@asynccontextmanager
async def watching(shop: Shop, broker: ReadingBroker | None = None) -> AsyncIterator[Outside]:
    outside = Outside(shop, broker or shop.broker)
    async with beside(outside.watch.run()):
        yield outside


async def test_a_stage_that_has_never_run_has_lag_age_and_no_members(shop: Shop) -> None:
    source = shop.rig.source().name
    week = {"retention.ms": str(int(7 * DAY * 1000))}
    await shop.rig.create(shop.pipeline, partitions=1, config={source: week})
    stamp = int((CLOCK.time() - HOUR) * 1000)
    await shop.rig.put([(b"k", b'{"n":%d}' % n) for n in range(5)], timestamp=stamp)
    async with watching(shop) as outside:
        await eventually(lambda: outside.of_stage("group_lag_records") == 5)
        assert outside.of_stage("group_members") == 0
        assert outside.of_stage("group_lag_seconds") == pytest.approx(HOUR, abs=60)
        left = outside.of_stage("group_retention_left_seconds")
        assert left == pytest.approx(7 * DAY - HOUR, abs=60)
        assert outside.of_stage("exporter_kafka_up") == 1
        await eventually(lambda: outside.of_stage("dead_letter_depth_records", shop.topic) == 0)
        assert outside.of_stage("dead_letter_expiry_seconds") is None


async def test_a_stage_that_runs_has_members_and_what_comes_after_it_is_as_old_as_it_is_there(
    shop: Shop,
) -> None:
    await shop.rig.create(shop.pipeline, partitions=1)
    await shop.rig.put_items(range(10))
    async with watching(shop) as outside:
        async with shop.rig.running(shop.pipeline):
            await eventually(lambda: outside.of_stage("group_members") == 1)
            await eventually(lambda: outside.of_stage("group_lag_records") == 0)
            assert outside.of_stage("group_lag_seconds") == 0
            await eventually(lambda: outside.of_stage("dead_letter_depth_records") == 5)
        await eventually(lambda: outside.of_stage("group_members") == 0)
        stamp = int((CLOCK.time() - HOUR) * 1000)
        await shop.rig.put([(b"k", b'{"n":2}')] * 3, timestamp=stamp)
        await eventually(lambda: outside.of_stage("group_lag_records") == 3)
        age = outside.of_stage("group_lag_seconds")
        assert age is not None
        assert age < 60, "since it came, not its timestamp"
        # One that has not seen it come reads its timestamp.
        async with watching(shop) as other:
            await eventually(lambda: other.of_stage("group_lag_records") == 3)
            assert other.of_stage("group_lag_seconds") == pytest.approx(HOUR, abs=60)


async def test_without_topics_and_without_a_broker_nothing_is_told_but_that(shop: Shop) -> None:
    async with watching(shop) as outside:
        await eventually(lambda: outside.of_stage("exporter_kafka_up") == 1)
        assert outside.of_stage("group_lag_records") is None
    async with watching(shop, shop.rig.subject.unreachable) as outside:
        await eventually(lambda: shop.rig.subject.unreachable_address in outside.watch.why_unknown)
        await asyncio.sleep(0)
        assert outside.of_stage("exporter_kafka_up") == 0
        assert outside.of_stage("group_members") is None
