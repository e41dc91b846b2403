"""What Kafka remembers of a pipeline whose stages have other names now, and what is left unread."""

from collections.abc import Mapping
from typing import Any

import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import CommittedOffset, ProducerConfig, TopicSpec
from streamapp.clock import SystemClock
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import retry_later
from streamapp.record import TopicPartition
from streamapp.renames.asked_once import AskedOnce
from streamapp.renames.renames import find_renames, store_start_offsets
from streamapp.renames.traces import Unread, find_traces
from streamapp.runtime.commit_metadata import marked
from streamapp.topics.topic import Topic

BETWEEN = "p.old"
"""The topic that is called after a stage which is not declared any more."""


@agent
def same(value: bytes) -> bytes:
    return value


def pipeline(*stages: str, renamed_from: str | None = None) -> Pipeline[Any, Any]:
    """Stages by name; the first may have had another."""
    made: Pipeline[Any, Any] = Pipeline("p", source=Topic("raw", bytes))
    for name in stages:
        made = made.stage(same, name=name, renamed_from=renamed_from)
        renamed_from = None
    return made.sink("out")


class Before:
    """A broker on which stages have worked."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(SystemClock())
        self.admin: MemoryAdmin = self.broker.admin()

    async def create(self, *names: str, partitions: int = 2) -> None:
        await self.admin.create_topics([TopicSpec(name, partitions) for name in names])

    async def write(self, topic: str, count: int, partition: int = 0) -> None:
        producer = self.broker.producer(ProducerConfig())
        await producer.start()
        batch = producer.create_batch()
        for _ in range(count):
            assert batch.append(timestamp=None, key=None, value=b"1") is not None
        await (await producer.send_batch(batch, topic, partition))

    async def commit(self, stage: str, topic: str, *offsets: int | None) -> None:
        """Store what the group of a stage has read, by partition."""
        stored = {
            TopicPartition(topic, i): CommittedOffset(offset)
            for i, offset in enumerate(offsets)
            if offset is not None
        }
        await self.admin.set_offsets(f"p.{stage}", stored)


@pytest.fixture
async def before() -> Before:
    """Ten and five records in the topic of a stage called `old`, which has read its source."""
    before = Before()
    await before.create("raw", "out", BETWEEN, "p.new", "p.new.dlq", "p.second.dlq", "p.old.dlq")
    await before.write(BETWEEN, 10)
    await before.write(BETWEEN, 5, partition=1)
    await before.commit("old", "raw", 15, 15)
    return before


async def unread(before: Before) -> tuple[Unread, ...]:
    topology = build(pipeline("new", "second"))
    return (await find_traces(AskedOnce(before.admin), topology, ["new", "second"])).unread


@pytest.mark.parametrize(
    ("readers", "left"),
    [
        ({"second": (10, 5)}, 0),
        ({"second": (4, 5)}, 6),
        ({"second": (10, None)}, 5),
        ({"second": (10, 5), "audit": (4, 5)}, 6),
        ({"second": (4, 5), "audit": (10, 5)}, 6),
        ({"second": (10, 3), "audit": (9, 5)}, 2),
        ({"second": (10, 5), "audit": (10, 5)}, 0),
        ({"second": (10, 5), "audit": (10, None)}, 5),
        ({}, 15),
    ],
    ids=str,
)
async def test_records_left_unread_by_one_of_two_readers_are_noticed(
    before: Before, readers: Mapping[str, tuple[int | None, ...]], left: int
) -> None:
    for stage, offsets in readers.items():
        await before.commit(stage, BETWEEN, *offsets)
    assert await unread(before) == ((Unread(BETWEEN, left),) if left else ())


async def test_records_that_retention_deleted_are_not_unread(before: Before) -> None:
    await before.commit("second", BETWEEN, 4, 5)
    await before.admin.delete_records({TopicPartition(BETWEEN, 0): 8})
    assert await unread(before) == (Unread(BETWEEN, 2),)


async def test_a_start_is_refused_with_how_many_records_one_reader_has_not_read(
    before: Before,
) -> None:
    await before.commit("second", BETWEEN, 10, 5)
    await before.commit("audit", BETWEEN, 4, 5)
    topology = build(pipeline("new", "second", renamed_from="old"))
    renames = await find_renames(AskedOnce(before.admin), topology, topology.segments)
    [refusal] = [text for text in renames.refusals if "would never be read" in text]
    assert refusal.startswith(f"6 records in '{BETWEEN}' would never be read")


async def test_a_stage_that_has_offsets_asks_for_no_orphans(before: Before) -> None:
    await before.commit("new", "raw", 15, 15)
    await before.commit("second", "p.new", 0, 0)
    topology = build(pipeline("new", "second"))
    traces = await find_traces(AskedOnce(before.admin), topology, ["new", "second"])
    assert (traces.orphans, traces.unread) == ({}, ())
    assert set(traces.offsets) == {"new", "second"}


async def test_an_orphan_is_told_by_its_offsets_or_by_dead_letters_that_were_written(
    before: Before,
) -> None:
    await before.create("p.told.dlq", "p.empty.dlq", "p.told.replay", "p.a.b.dlq", "q.other.dlq")
    for topic in ("p.told.dlq", "p.a.b.dlq", "q.other.dlq"):
        await before.write(topic, 1, partition=1)
    topology = build(pipeline("new", "second"))
    orphans = (await find_traces(AskedOnce(before.admin), topology, ["new"])).orphans
    assert {stage: orphan.topics for stage, orphan in orphans.items()} == {
        "old": (BETWEEN, "p.old.dlq"),
        "told": ("p.told.dlq", "p.told.replay"),
    }
    assert orphans["told"].offsets == {}
    assert orphans["old"].group == "p.old"


async def test_an_old_name_that_has_dead_letters_but_no_offsets_is_not_taken_over(
    before: Before,
) -> None:
    await before.create("p.told.dlq")
    await before.write("p.told.dlq", 1)
    topology = build(pipeline("new", renamed_from="told"))
    renames = await find_renames(AskedOnce(before.admin), topology, topology.segments)
    assert renames.taken_over == ()
    assert [segment.name for segment in renames.unexplained] == ["new"]
    assert any("renamed_from='told' is none of these" in text for text in renames.refusals)


async def test_what_starts_anew_starts_at_what_retention_has_left(before: Before) -> None:
    await before.write("raw", 9, partition=1)
    await before.admin.delete_records({TopicPartition("raw", 1): 4})
    topology = build(pipeline("new"))
    await store_start_offsets(
        before.admin, await find_renames(AskedOnce(before.admin), topology, topology.segments)
    )
    assert await before.admin.committed_offsets("p.new") == {
        TopicPartition("raw", 0): marked(0),
        TopicPartition("raw", 1): marked(4),
    }


@pytest.mark.parametrize("kind", ["retry-10s", "replay"])
@pytest.mark.parametrize("group", ["old", "new"])
async def test_a_start_is_refused_while_records_wait_for_a_stage_that_is_not_declared(
    before: Before, kind: str, group: str
) -> None:
    """Also where its name was that of a stage which was fused to another, whose group reads on."""
    gone, read = f"p.old.{kind}", f"p.older.{kind}"
    await before.create(gone, read, f"p.o.ld.{kind}", f"other.old.{kind}", "p.old.retry-10s.x")
    for topic in (gone, read, f"p.o.ld.{kind}", f"other.old.{kind}", "p.old.retry-10s.x"):
        await before.write(topic, 4)
    await before.commit("second", BETWEEN, 10, 5)
    await before.commit("new", "raw", 0, 0)
    await before.commit(group, gone, 1)
    await before.commit("forgotten" if group == "old" else "older", gone, 0)
    await before.commit(group, read, 4)
    topology = build(pipeline("new"))
    renames = await find_renames(AskedOnce(before.admin), topology, topology.segments)
    told = [one for one in renames.refusals if "are to be tried again" in one]
    assert [one.partition(" are")[0] for one in told] == [f"3 records in {gone!r}"]


async def test_a_start_is_refused_while_records_wait_for_a_delay_that_is_gone(
    before: Before,
) -> None:
    gone, used_up, others = "p.new.retry-10s", "p.new.retry-1m", "p.newer.retry-10s"
    await before.create(gone, used_up, others)
    for topic in (gone, used_up, others):
        await before.write(topic, 4)
    await before.commit("new", "raw", 15, 15)
    await before.commit("new", gone, 1)
    await before.commit("new", used_up, 4)
    topology = build(pipeline("new"))
    renames = await find_renames(AskedOnce(before.admin), topology, topology.segments)
    refusal, other = renames.refusals
    assert refusal.startswith(f"3 records wait in '{gone}', whose delay is declared no more")
    assert other.startswith(f"4 records in '{others}' are to be tried again by a stage that is")


async def test_records_that_wait_for_a_declared_delay_are_no_reason_against_a_start(
    before: Before,
) -> None:
    later = "p.new.retry-10s"
    await before.create(later)
    await before.write(later, 4)
    await before.commit("new", "raw", 15, 15)
    patient = Pipeline("p", source=Topic("raw", bytes)).stage(
        same, name="new", on_error=retry_later([10])
    )
    topology = build(patient.sink("out"))
    renames = await find_renames(AskedOnce(before.admin), topology, topology.segments)
    assert renames.refusals == ()
