"""Marks in the groups of old names, and what they say of a stage that is declared again."""

from collections.abc import Mapping

import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import CommittedOffset, TopicSpec
from streamapp.clock import SystemClock
from streamapp.pipeline.topology import build
from streamapp.record import TopicPartition
from streamapp.renames.asked_once import AskedOnce
from streamapp.renames.rollbacks import gone_on_as, renamed_to, store_renamed, without_marks
from streamapp.runtime.commit_metadata import marked as ours
from tests.unit.renames.test_traces import pipeline

FIRST, SECOND = TopicPartition("raw", 0), TopicPartition("raw", 1)
STORED = {FIRST: CommittedOffset(4, "finished: 6"), SECOND: CommittedOffset(5)}


async def admin_of_raw() -> MemoryAdmin:
    admin = MemoryBroker(SystemClock()).admin()
    await admin.create_topics([TopicSpec("raw", 2)])
    return admin


@pytest.mark.parametrize(
    ("renamed", "name"),
    [
        ({"a": "b"}, "b"),
        ({"a": "b", "b": "c"}, "c"),
        ({"a": "second"}, None),  # declared as well
        ({"a": "gone"}, None),  # Kafka has forgotten it
        ({"a": "b", "b": "a"}, None),  # nobody knows which came last
        ({}, None),
    ],
    ids=str,
)
async def test_a_stage_has_gone_on_under_the_last_name_that_kafka_has_and_nobody_declares(
    renamed: Mapping[str, str], name: str | None
) -> None:
    admin = await admin_of_raw()
    for stage in ("a", "b", "c"):
        await admin.set_offsets(f"p.{stage}", STORED)
    for old, new in renamed.items():
        await store_renamed(admin, f"p.{old}", new)
    kafka = AskedOnce(admin)
    found = await kafka.committed_offsets("p.a")
    assert await gone_on_as(kafka, build(pipeline("a", "second")), found) == name


async def test_marks_keep_the_offsets(caplog: pytest.LogCaptureFixture) -> None:
    admin = await admin_of_raw()
    await admin.set_offsets("p.a", STORED)
    await store_renamed(admin, "p.a", "b")
    marked = await admin.committed_offsets("p.a")
    assert renamed_to(marked) == "b"
    assert without_marks(marked) == {FIRST: ours(4), SECOND: ours(5)}
    assert not caplog.records


def test_a_group_that_has_committed_since_has_a_position_of_its_own() -> None:
    marked = {FIRST: CommittedOffset(4, "renamed:b"), SECOND: CommittedOffset(9)}
    assert renamed_to(marked) is None
    assert renamed_to({}) is None
