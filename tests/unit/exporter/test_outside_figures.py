"""What an exporter tells over an outage and over time, on the memory broker and a clock of ours."""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import CommittedOffset, ProducerConfig, TopicSpec
from streamapp.clock import SystemClock
from streamapp.dead_letter_tools.letter_counter import LetterCounter
from streamapp.errors import BrokerError
from streamapp.exporter.families import UNREAD_SECONDS, OutsideCollector, OutsideExporter
from streamapp.exporter.group_reader import GroupReader
from streamapp.exporter.watch import OutsideWatch
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.record import TopicPartition
from streamapp.topics.topic import Topic
from streamapp.web.exporter import ExporterView
from streamapp.web.server import WebServer
from tests.hand_clock import HandClock


@agent
def same(value: int) -> int:
    return value


SEGMENTS = build(
    Pipeline("orders", source=Topic("raw", int)).stage(same, name="check").sink("out")
).segments
WEEK = {"retention.ms": str(7 * 86_400_000)}


class Stand:
    """A broker with the topics of a stage that does not run, and an exporter that looks at it."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.broker = MemoryBroker(SystemClock())  # its waits are real, and short
        self.watch = OutsideWatch(self.broker, self.clock, SEGMENTS, interval_seconds=15)
        self.admin: MemoryAdmin = self.broker.admin()
        self.groups = GroupReader(self.broker, self.admin, self.clock, SEGMENTS)
        self.counter = LetterCounter(self.broker, self.admin, self.clock)
        self._registry = CollectorRegistry()
        self._registry.register(OutsideCollector(self.watch, self.clock))

    async def create(self) -> None:
        await self.admin.start()
        topics = [TopicSpec(name, 1, config=WEEK) for name in ("raw", "out", "orders.check.dlq")]
        await self.admin.create_topics(topics)

    async def write(self, topic: str, count: int) -> None:
        producer = self.broker.producer(ProducerConfig())
        await producer.start()
        batch = producer.create_batch()
        for _ in range(count):
            batch.append(timestamp=int(self.clock.time() * 1000), key=None, value=b"1")
        await (await producer.send_batch(batch, topic, 0))
        await producer.stop()

    async def look(self) -> None:
        await self.watch.look(self.groups, self.counter)

    def told(self) -> Mapping[str, float]:
        """All that is told, by metric, and by cause."""
        return {
            sample.labels.get("cause") or sample.name.removeprefix("streamapp_"): sample.value
            for family in self._registry.collect()
            for sample in family.samples
        }


@pytest.fixture
async def stand() -> Stand:
    found = Stand()
    await found.create()
    return found


async def test_a_stage_that_nobody_reads_is_told_after_longer_than_a_restart(stand: Stand) -> None:
    await stand.write("raw", 3)
    await stand.look()
    stand.clock.advance(UNREAD_SECONDS - 1)
    await stand.look()
    assert "not_running" not in stand.told()
    stand.clock.advance(1)
    await stand.look()
    assert stand.told()["not_running"] == 1


async def test_a_stage_that_nobody_needs_to_read_is_not_told(stand: Stand) -> None:
    await stand.look()
    stand.clock.advance(2 * UNREAD_SECONDS)
    await stand.look()
    assert "not_running" not in stand.told()
    assert stand.told()["group_lag_records"] == 0


async def test_letters_of_a_stage_that_does_not_run_are_told_before_they_are_deleted(
    stand: Stand,
) -> None:
    await stand.write("orders.check.dlq", 2)
    await stand.look()
    assert stand.told()["dead_letter_depth_records"] == 2
    assert "letters_expiring" not in stand.told()
    stand.clock.advance(6.5 * 86_400)
    await stand.look()
    assert stand.told()["letters_expiring"] == 1
    assert stand.told()["dead_letter_expiry_seconds"] == pytest.approx(86_400 / 2, abs=1)


async def test_in_an_outage_no_number_of_before_is_told(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.write("raw", 3)
    await stand.look()
    assert stand.told()["group_lag_records"] == 3

    async def refused(*_: object) -> None:
        raise BrokerError("Kafka is down")

    monkeypatch.setattr(stand.admin, "end_offsets", refused)
    await stand.look()
    assert stand.told() == {"exporter_kafka_up": 0}
    assert stand.watch.why_unknown == "Kafka is down"
    monkeypatch.undo()
    await stand.look()
    assert stand.told()["group_lag_records"] == 3


async def test_what_was_found_long_ago_is_not_told_any_more(stand: Stand) -> None:
    await stand.look()
    stand.clock.advance(3600)
    assert stand.told() == {"exporter_kafka_up": 0}


async def test_letters_that_cannot_be_counted_hide_no_lag(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> None:
        raise BrokerError("no permission")

    monkeypatch.setattr(stand.counter, "count", refused)
    await stand.look()
    assert stand.told()["group_lag_records"] == 0
    assert "dead_letter_depth_records" not in stand.told()


async def test_lag_of_a_topic_that_was_made_anew_is_not_known_until_it_is_read(
    stand: Stand,
) -> None:
    await stand.write("raw", 3)
    beyond = {TopicPartition("raw", 0): CommittedOffset(9)}
    await stand.admin.set_offsets(SEGMENTS[0].group, beyond)
    await stand.look()
    assert "group_lag_records" not in stand.told()
    assert stand.told()["exporter_kafka_up"] == 1


async def test_it_lives_while_kafka_does_not_answer_and_is_well_when_it_does(stand: Stand) -> None:
    view = ExporterView(stand.watch, OutsideExporter(stand.watch, stand.clock))
    server = WebServer(view)
    await server.start()

    async def answer(path: str) -> tuple[int, Any]:
        async with session.get(path) as response:
            return response.status, json.loads(await response.text())

    try:
        async with aiohttp.ClientSession(server.url) as session:
            silent = {"ok": False, "reason": "Kafka has not answered yet"}
            assert await answer("/healthz") == (503, silent)
            assert (await answer("/livez"))[0] == 200
            await stand.look()
            assert await answer("/readyz") == (200, {"ok": True, "reason": "Kafka answers"})
            assert (await answer("/"))[1]["ok"] is True
            async with session.get("/metrics") as response:
                text = await response.text()
    finally:
        await server.stop()
    assert 'streamapp_group_members{pipeline="orders",stage="check"} 0.0' in text
    assert "process_cpu_seconds_total" in text
    assert "streamapp_build_info" not in text, "it is no worker that may be gone"
