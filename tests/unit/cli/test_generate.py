"""`generate` against the memory broker: what the ledger says is what is in the topic."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import ConsumerConfig, ProducerConfig, TopicSpec
from streamapp.cli.event_writer import EventWriter
from streamapp.cli.generate import Generation
from streamapp.cli.ledger import Ledger
from streamapp.clock import SystemClock
from streamapp.errors import BrokerError, TopicError
from streamapp.examples.playback.generator import (
    EVENT_ID_HEADER,
    EXPECTED_DEAD_LETTERS,
    EventKind,
    PlaybackGenerator,
)
from streamapp.record import Record, TopicPartition

TOPIC = "playback.raw"


@pytest.fixture
async def broker() -> MemoryBroker:
    broker = MemoryBroker(SystemClock())
    await broker.admin().create_topics([TopicSpec(TOPIC, 3)])
    return broker


class Nobody:
    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None: ...
    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None: ...


async def read(broker: MemoryBroker, count: int) -> list[tuple[int, Record]]:
    consumer = broker.consumer(ConsumerConfig("test", (TOPIC,)), Nobody())
    await consumer.start()
    records: list[tuple[int, Record]] = []
    while len(records) < count:
        batches = await consumer.fetch(
            consumer.assignment(), max_records=count, timeout_seconds=0.1
        )
        records += [(name.partition, record) for name, batch in batches.items() for record in batch]
    await consumer.stop()
    return records


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def generate(broker: MemoryBroker, ledger: Path | None, records: int) -> None:
    generation = Generation(broker, TOPIC, PlaybackGenerator(), SystemClock(), ledger)
    await generation.run(
        kafka="Kafka    memory", records=records, seconds=None, per_second=None, progress_seconds=60
    )


async def test_the_ledger_names_every_record_of_the_topic(
    broker: MemoryBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await generate(broker, tmp_path / "ledger", 12_000)
    noted = {(e["partition"], e["offset"]): e for e in lines(tmp_path / "ledger")}
    records = await read(broker, 12_000)
    assert len(noted) == len(records)
    for partition, record in records:
        entry = noted[partition, record.offset]
        assert dict(record.headers)[EVENT_ID_HEADER].decode() == entry["event_id"]
        assert record.key == entry["key"].encode()
        if entry["expected"] == "scored":
            assert orjson.loads(record.value or b"")["sequence"] == entry["sequence"]
        else:
            stage, reason = EXPECTED_DEAD_LETTERS[EventKind(entry["kind"])]
            assert (entry["stage"], entry["reason"]) == (stage, reason.value)
    assert "12,000 records written to playback.raw" in capsys.readouterr().out


async def test_what_is_not_acknowledged_at_the_end_is_unknown(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    admin = broker.admin()
    await admin.alter_topic_config(TOPIC, {"max.message.bytes": "200"})
    with pytest.raises(ExceptionGroup) as failure:
        await generate(broker, tmp_path / "ledger", 100)
    assert failure.group_contains(BrokerError, match="max.message.bytes is 200")
    entries = lines(tmp_path / "ledger")
    assert len(entries) == 100
    assert {(e["status"], e["offset"]) for e in entries} == {("unknown", None)}


async def test_a_missing_topic_leaves_the_file_of_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("earlier")
    with pytest.raises(TopicError, match="does not exist"):
        await generate(MemoryBroker(SystemClock()), tmp_path / "ledger", 10)
    assert (tmp_path / "ledger").read_text() == "earlier"


async def test_a_partition_gets_as_many_batches_as_its_events_need(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    producer = broker.producer(ProducerConfig(max_batch_bytes=2_000))
    await producer.start()
    async with Ledger(tmp_path / "ledger") as ledger:
        writer = EventWriter(producer, TOPIC, 3, on_written=ledger.acknowledged)
        await writer.write(PlaybackGenerator().take(100, now_ms=1))
        assert len(writer.unacknowledged) > 3
        await writer.wait_for_acknowledgements()
    assert (writer.written, len(writer.unacknowledged)) == (100, 0)
    noted = {(e["partition"], e["offset"]): e["event_id"] for e in lines(tmp_path / "ledger")}
    for partition, record in await read(broker, 100):
        event_id = dict(record.headers)[EVENT_ID_HEADER].decode()
        assert noted[partition, record.offset] == event_id
