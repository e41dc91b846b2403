"""Before a pipeline starts: finds stages without offsets that may have been renamed.

A renamed stage would otherwise read its source from the beginning, and the records in the topic
named after its old name would never be read. Nor would those that wait for a delay that is gone.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from streamapp.brokers.protocols import Admin
from streamapp.errors import CommitRefusedError, RenamedStageError
from streamapp.pipeline.topology import Segment, Topology
from streamapp.record import TopicPartition
from streamapp.renames.asked_once import AskedOnce, Offsets
from streamapp.renames.moves import position_of, true_offsets
from streamapp.renames.rollbacks import renamed_to, store_renamed, without_marks
from streamapp.renames.traces import Orphan, Traces, Unread, find_traces
from streamapp.runtime.commit_metadata import marked

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Renames:
    """Renamed stages, and reasons why the pipeline cannot start.

    Attributes:
        taken_over: stages that resume at the offsets of their old name.
        unexplained: stages without offsets that may be renamed orphans.
        refusals: reasons against a start, which `--yes` overrides.
        occupied: old names whose workers still run; `--yes` does not override these.
    """

    taken_over: tuple[tuple[Segment, Orphan], ...] = ()
    unexplained: tuple[Segment, ...] = ()
    refusals: tuple[str, ...] = ()
    occupied: tuple[str, ...] = ()

    def raise_refusals(self, *, yes: bool = False) -> None:
        """Raise if there is a reason against a start.

        Args:
            yes: start such stages at the beginning, and leave unread records behind.

        Raises:
            RenamedStageError: all reasons, and what to do.
        """
        if against := (*self.occupied, *(() if yes else self.refusals)):
            raise RenamedStageError("; ".join(against))


async def find_renames(
    kafka: AskedOnce, topology: Topology, segments: Collection[Segment]
) -> Renames:
    """Compare the stages that will run with what Kafka has; changes nothing."""
    traces = await find_traces(kafka, topology, [segment.name for segment in segments])
    fresh = [segment for segment in segments if not traces.offsets[segment.name]]
    taken_over = tuple(_taken_over(fresh, traces))
    explained = {segment.name for segment, _ in taken_over}
    declared = {segment.renamed_from for segment in topology.segments}
    declared.update(traces.returned.values())
    orphans = [orphan for orphan in traces.orphans.values() if orphan.stage not in declared]
    unexplained = tuple(s for s in fresh if orphans and s.name not in explained)
    refusals = [
        *map(_unread, traces.unread),
        *map(_waiting, traces.waiting),
        *map(_between, traces.between),
        *map(_abandoned, traces.abandoned),
    ]
    if unexplained:
        refusals.insert(0, _unexplained(unexplained, orphans))
    occupied = [
        _occupied(segment, orphan)
        for segment, orphan in taken_over
        if await _is_read(kafka.admin, orphan) and not await _has_begun(kafka.admin, segment)
    ]
    return Renames(taken_over, unexplained, tuple(refusals), tuple(occupied))


async def store_start_offsets(admin: Admin, renames: Renames) -> None:
    """Store the start offsets of renamed stages (those of the old name) and of the unexplained.

    Unexplained stages start at the beginning. Since all have offsets now, the next start finds no
    renames. A stage that has offsets by now is left alone: another worker has started it, and may
    have worked and left.

    Raises:
        RenamedStageError: workers read under the old name again, or with the group of the new one.
    """
    for segment, orphan in renames.taken_over:
        if not await _has_begun(admin, segment):
            own = without_marks(await position_of(AskedOnce(admin), segment))
            last = await _last_offsets(admin, segment, orphan)
            await _start_at(admin, segment, {**own, **last})
            if segment.bundle is None and orphan.home is None:
                await store_renamed(admin, orphan.group, segment.name)
            log.info(
                "stage %s of %s resumes at the offsets of %s",
                segment.name,
                segment.pipeline,
                orphan.group,
            )
    for segment in renames.unexplained:
        if not await _has_begun(admin, segment):
            await _start_at_the_beginning(admin, segment)


async def _last_offsets(admin: Admin, segment: Segment, orphan: Orphan) -> Offsets:
    """Where the old name stands: read when nobody commits to it any more.

    Raises:
        RenamedStageError: workers read with it again.
    """
    if await _is_read(admin, orphan):
        raise RenamedStageError(_occupied(segment, orphan))
    kafka = AskedOnce(admin)
    found = await true_offsets(kafka, await kafka.committed_offsets(orphan.group))
    return without_marks(found)


async def _start_at_the_beginning(admin: Admin, segment: Segment) -> None:
    existing = await admin.list_topics() if segment.patterns else ()
    counts = await admin.partition_counts(segment.sources_among(existing))
    places = [TopicPartition(name, i) for name in counts for i in range(counts[name])]
    beginnings = await admin.beginning_offsets(places)
    try:
        await _start_at(admin, segment, {p: marked(beginnings[p]) for p in places})
    except RenamedStageError:
        if segment.bundle is None:
            raise
        # A bundle that is at work needs no offsets for it: without any, it begins there.
    log.info("stage %s of %s starts at the beginning of its source", segment.name, segment.pipeline)


async def _start_at(admin: Admin, segment: Segment, offsets: Offsets) -> None:
    try:
        await admin.set_offsets(segment.group, offsets)
    except CommitRefusedError as error:
        # Another worker, started at the same time, may have stored the same offsets.
        if not await _has_begun(admin, segment):
            raise RenamedStageError(
                f"where stage {segment.name!r} of pipeline {segment.pipeline!r} starts cannot be"
                f" stored while group {segment.group!r} has workers: stop all of them once"
            ) from error


async def _has_begun(admin: Admin, segment: Segment) -> bool:
    """Whether a stage has offsets of its own topics by now, and has not gone on elsewhere."""
    position = await position_of(AskedOnce(admin), segment)
    return bool(position) and renamed_to(position) is None


def _occupied(segment: Segment, orphan: Orphan) -> str:
    return (
        f"stage {segment.name!r} cannot take over the offsets of group"
        f" {(orphan.home or orphan.group)!r}, because the group has members: first stop the workers"
        " that run the stage under its other name"
    )


async def _is_read(admin: Admin, orphan: Orphan) -> bool:
    """Whether workers run a stage under its old name: with its own group, or in its bundle."""
    if await admin.member_count(orphan.group):
        return True
    if orphan.home is None:
        return False
    topics = {name.topic for name in orphan.offsets}
    return not topics.isdisjoint(await admin.subscribed_topics(orphan.home))


def _taken_over(fresh: Collection[Segment], traces: Traces) -> Iterator[tuple[Segment, Orphan]]:
    """Stages that declare an old name which has offsets, or whose rename was rolled back."""
    for segment in fresh:
        other = traces.returned.get(segment.name) or segment.renamed_from
        orphan = traces.orphans.get(other or "")
        if orphan is not None and orphan.offsets:
            yield segment, orphan


def _unexplained(segments: Sequence[Segment], orphans: Sequence[Orphan]) -> str:
    several = len(segments) > 1
    new = ", ".join(repr(segment.name) for segment in segments)
    sources = ", ".join(
        dict.fromkeys(repr(topic) for segment in segments for topic in segment.source_names)
    )
    known = "; ".join(f"{orphan.stage!r} ({_traces(orphan)})" for orphan in orphans)
    for segment in segments:
        if segment.renamed_from:
            known += f" (renamed_from={segment.renamed_from!r} is none of these)"
    return (
        f"pipeline {segments[0].pipeline!r}: {'stages' if several else 'stage'} {new}"
        f" {'have' if several else 'has'} no offsets, but Kafka has those of a stage that is not"
        f" declared, {known}: if that is an old name, declare .stage(..., renamed_from="
        f"{orphans[0].stage!r}) to resume at its offsets; if not, --yes starts at the beginning of"
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
        f"{unread.records:,} records in {unread.topic!r} would never be read: run the previous"
        " declaration once more with --until-end, or keep the topic as output=Topic("
        f"{unread.topic!r}, ...) of the stage that writes it; --yes leaves them behind"
    )


def _waiting(unread: Unread) -> str:
    return (
        f"{unread.records:,} records wait in {unread.topic!r}, whose delay is declared no more, and"
        " would never be retried: declare the delay again until the topic is empty, or delete the"
        " topic; --yes leaves them behind"
    )


def _between(unread: Unread) -> str:
    return (
        f"{unread.records:,} records in {unread.topic!r} were written for a stage that is fused"
        " now, and would never be read: run the stages without fused=True once more with"
        " --until-end, or delete the topic; --yes leaves them behind"
    )


def _abandoned(unread: Unread) -> str:
    return (
        f"{unread.records:,} records in {unread.topic!r} are to be tried again by a stage that is"
        " not declared, and would never be read: run the previous declaration once more with"
        " --until-end, or delete the topic; --yes leaves them behind"
    )
