"""Where stages of a bundle stand is marked in groups of their own, soon and lastingly."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.protocols import CommittedOffset, TopicSpec
from streamapp.errors import BrokerError, CommitRefusedError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Segment
from streamapp.record import TopicPartition
from streamapp.renames.marks import MISSING_SECONDS, RENEW_SECONDS, Marks
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import broker_with, in_virtual_time

NAMES = ("p", "q", "r")


@agent
def same(value: bytes) -> bytes:
    return value


class Bundled:
    """Three stages in a bundle, and the marks of their groups."""

    def __init__(self, broker: FaultyBroker) -> None:
        self.broker = broker
        self.admin: MemoryAdmin = broker.admin()
        pipelines = [
            Pipeline(name, source=Topic(f"{name}.in", bytes)).stage(same, name="s").sink("out")
            for name in NAMES
        ]
        self.segments: list[Segment] = [
            segment
            for topology in build_bundle(Bundle("all", pipelines))
            for segment in topology.segments
        ]

    async def commit(self, name: str, offset: int) -> None:
        stored = {TopicPartition(f"{name}.in", 0): CommittedOffset(offset)}
        await self.admin.set_offsets("all", stored)

    async def marked(self) -> Mapping[str, int]:
        """The offsets in the marks, by pipeline."""
        found = {}
        for name in NAMES:
            for kept in (await self.admin.committed_offsets(f"{name}.s")).values():
                assert kept.metadata == "moved:all"
                found[name] = kept.offset
        return found

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        task = asyncio.create_task(Marks(self.admin, self.segments, self.broker.clock).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def bundled() -> Bundled:
    made = Bundled(await broker_with())
    await made.admin.create_topics([TopicSpec(f"{name}.in", 1) for name in NAMES])
    return made


@in_virtual_time
async def test_a_stage_that_commits_for_the_first_time_is_marked_within_a_minute() -> None:
    bundle = await bundled()
    await bundle.commit("p", 3)
    async with bundle.kept():
        await asyncio.sleep(1)
        assert await bundle.marked() == {"p": 3}
        await bundle.commit("q", 4)
        await bundle.commit("p", 5)
        await asyncio.sleep(MISSING_SECONDS)
        assert await bundle.marked() == {"p": 3, "q": 4}
        await asyncio.sleep(RENEW_SECONDS)
        assert await bundle.marked() == {"p": 5, "q": 4}


@in_virtual_time
async def test_one_that_cannot_be_marked_keeps_no_other_from_it_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = await bundled()
    for name in NAMES:
        await bundle.commit(name, 3)
    stored = bundle.admin.set_offsets

    async def set_offsets(group: str, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        if group == "p.s":
            raise CommitRefusedError("group 'p.s' has members")
        await stored(group, offsets)

    with monkeypatch.context() as occupied:
        occupied.setattr(bundle.admin, "set_offsets", set_offsets)
        async with bundle.kept():
            await asyncio.sleep(3.5 * MISSING_SECONDS)
            assert await bundle.marked() == {"q": 3, "r": 3}
            assert caplog.text.count("where p.s stands could not be marked") == 1
            occupied.undo()
            await asyncio.sleep(MISSING_SECONDS)
            assert await bundle.marked() == {"p": 3, "q": 3, "r": 3}


@in_virtual_time
async def test_in_an_outage_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = await bundled()
    await bundle.commit("p", 3)

    async def committed_offsets(_group: str) -> Mapping[TopicPartition, CommittedOffset]:
        raise BrokerError("not now")

    with monkeypatch.context() as outage:
        outage.setattr(bundle.admin, "committed_offsets", committed_offsets)
        async with bundle.kept():
            await asyncio.sleep(1)
            outage.undo()
            assert await bundle.marked() == {}
            await asyncio.sleep(MISSING_SECONDS)
            assert await bundle.marked() == {"p": 3}
