"""Before a pipeline starts: is a stage without offsets one that has another name now?

Without a word, it would read its source from the beginning, and what lies in the topic that was
called after its old name would never be read.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamapp.brokers.protocols import Admin, CommittedOffset
from streamapp.errors import CommitRefusedError, RenamedStageError
from streamapp.pipeline.topology import Segment, Topology
from streamapp.record import TopicPartition
from streamapp.renames.memory import Orphan, Unread, remember

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Renames:
    """What is to be settled before a pipeline starts.

    Attributes:
        taken_over: stages that go on where their old name stood.
        unexplained: stages without offsets that may be an orphan under a new name.
        refusals: why it cannot start without a word.
        occupied: old names whose workers still run; no word helps.
    """

    taken_over: tuple[tuple[Segment, Orphan], ...] = ()
    unexplained: tuple[Segment, ...] = ()
    refusals: tuple[str, ...] = ()
    occupied: tuple[str, ...] = ()

    def refuse(self, *, yes: bool = False) -> None:
        """Raise what stands against a start.

        Args:
            yes: start anew, and leave what is unread.

        Raises:
            RenamedStageError: what Kafka remembers, and what to do.
        """
        if against := (*self.occupied, *(() if yes else self.refusals)):
            raise RenamedStageError("; ".join(against))


async def find_renames(admin: Admin, topology: Topology, segments: Collection[Segment]) -> Renames:
    """Hold what Kafka remembers against the stages that are to run; changes nothing."""
    memory = await remember(admin, topology, [segment.name for segment in segments])
    fresh = [segment for segment in segments if not memory.offsets[segment.name]]
    taken_over = tuple(_taken_over(fresh, memory.orphans))
    explained = {segment.name for segment, _ in taken_over}
    declared = {segment.renamed_from for segment in topology.segments}
    orphans = [orphan for orphan in memory.orphans.values() if orphan.stage not in declared]
    unexplained = tuple(s for s in fresh if orphans and s.name not in explained)
    refusals = [_unread(unread) for unread in memory.unread]
    if unexplained:
        refusals.insert(0, _unexplained(unexplained, orphans))
    occupied = [
        f"group {orphan.group!r} has members, and stage {segment.name!r} is to go on where it"
        " stands: stop the workers that run it under its old name first"
        for segment, orphan in taken_over
        if await admin.member_count(orphan.group)
    ]
    return Renames(taken_over, unexplained, tuple(refusals), tuple(occupied))


async def settle(admin: Admin, renames: Renames) -> None:
    """Let the stages go on where their old names stood, and begin the unexplained anew.

    Both are stored as the offsets of their groups, so the next start asks nothing.

    Raises:
        CommitRefusedError: a group has members and has committed nothing.
    """
    for segment, orphan in renames.taken_over:
        await _start_at(admin, segment, orphan.offsets)
        log.info(
            "stage %s of %s goes on where %s stood",
            segment.name,
            segment.pipeline,
            orphan.group,
        )
    for segment in renames.unexplained:
        topics = await admin.describe_topics(segment.source_topics)
        places = [
            TopicPartition(name, i)
            for name in segment.source_topics
            for i in range(topics[name].partitions)
        ]
        beginnings = await admin.beginning_offsets(places)
        await _start_at(admin, segment, {p: CommittedOffset(beginnings[p]) for p in places})
        log.info("stage %s of %s starts anew", segment.name, segment.pipeline)


async def _start_at(
    admin: Admin, segment: Segment, offsets: Mapping[TopicPartition, CommittedOffset]
) -> None:
    try:
        await admin.set_offsets(segment.group, offsets)
    except CommitRefusedError:
        # Another worker started in the meantime, and has settled the same.
        if not await admin.committed_offsets(segment.group):
            raise


def _taken_over(
    fresh: Collection[Segment], orphans: Mapping[str, Orphan]
) -> Iterator[tuple[Segment, Orphan]]:
    """Stages whose old name is declared and has committed something."""
    for segment in fresh:
        orphan = orphans.get(segment.renamed_from or "")
        if orphan is not None and orphan.offsets:
            yield segment, orphan


def _unexplained(segments: Sequence[Segment], orphans: Sequence[Orphan]) -> str:
    several = len(segments) > 1
    new = ", ".join(repr(segment.name) for segment in segments)
    sources = ", ".join(
        dict.fromkeys(repr(topic) for segment in segments for topic in segment.source_topics)
    )
    known = "; ".join(f"{orphan.stage!r} ({_traces(orphan)})" for orphan in orphans)
    for segment in segments:
        if segment.renamed_from:
            known += f" (renamed_from={segment.renamed_from!r} names none of these)"
    return (
        f"pipeline {segments[0].pipeline!r}: {'stages' if several else 'stage'} {new}"
        f" {'have' if several else 'has'} read nothing yet, while Kafka remembers a stage that is"
        f" not declared, {known}: if that is an old name, declare .stage(..., renamed_from="
        f"{orphans[0].stage!r}) to go on where it stood; if not, --yes starts at the beginning of"
        f" {sources}"
    )


def _traces(orphan: Orphan) -> str:
    """What Kafka has of it: `group p.a, topics p.a and p.a.dlq`."""
    group = f"group {orphan.group}" if orphan.offsets else ""
    topics = " and ".join(orphan.topics)
    word = "topics" if len(orphan.topics) > 1 else "topic"
    return ", ".join(filter(None, (group, topics and f"{word} {topics}")))


def _unread(unread: Unread) -> str:
    return (
        f"{unread.records:,} records in {unread.topic!r} would not be read any more: run the"
        " declaration from before once more with --until-end, or keep the topic as output=Topic("
        f"{unread.topic!r}, ...) of the stage that writes it; --yes leaves them behind"
    )
