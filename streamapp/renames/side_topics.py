"""A stage that is fused to another, or is so no more, goes on in its own topics where it stood.

Its retry topics and its replay topic are read with the group of the segment that it is part of.
When that is another group than before, what was read must not run again, and what was not read must
not be passed over. The group `<pipeline>.<stage>` has the last word, whether it reads or not: it
holds offsets in these topics, or marks that name the group which has them.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from streamapp.brokers.protocols import Admin, CommittedOffset
from streamapp.errors import CommitRefusedError, RenamedStageError
from streamapp.pipeline.replay_topics import replay_topic_of
from streamapp.pipeline.topology import Segment
from streamapp.record import TopicPartition
from streamapp.renames.asked_once import AskedOnce, Offsets
from streamapp.renames.moves import home_of, homes_of, mark

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SideTopic:
    """A retry or replay topic of a stage.

    Attributes:
        segment: reads it.
        own_group: named after the stage.
        topic: its name.
    """

    segment: Segment
    own_group: str
    topic: str

    @property
    def name(self) -> str:
        """The stage and the topic, for messages."""
        return f"stage {self.own_group!r} goes on in {self.topic!r}"


Positions = Mapping[str, Offsets]
"""Where groups stand in a topic. Mostly one has read it; of several, the furthest has read last."""


async def check_side_topics(kafka: AskedOnce, segments: Iterable[Segment]) -> None:
    """Require that nobody hinders stages in going on where another group stands; changes nothing.

    Raises:
        RenamedStageError: workers read with one of the groups.
    """
    for side, positions in await _to_move(kafka, segments):
        reason = await _refusal(kafka.admin, side, positions)
        if reason is not None and await _is_needed(kafka.admin, side):
            raise RenamedStageError(reason)  # no other worker has done it meanwhile


async def move_side_topics(admin: Admin, segments: Collection[Segment]) -> None:
    """Let stages go on in their retry and replay topics where another group stands.

    Raises:
        RenamedStageError: workers read with one of the groups.
    """
    await check_side_topics(AskedOnce(admin), segments)
    for side, positions in await _to_move(AskedOnce(admin), segments):  # nobody commits any more
        group, offsets = side.segment.group, furthest(positions.values())
        try:
            await admin.set_offsets(group, offsets)
            if group != side.own_group:
                marks = {place: mark(kept.offset, group) for place, kept in offsets.items()}
                await admin.set_offsets(side.own_group, marks)
        except CommitRefusedError as error:
            if await _is_needed(admin, side):
                raise RenamedStageError(_has_workers(side, positions)) from error
            continue  # another worker, started at the same time, has stored it
        log.info("%s where %s stood", side.name, " and ".join(positions))


def furthest(readers: Iterable[Offsets]) -> Offsets:
    """The highest offset that one of several groups has of each partition."""
    found: dict[TopicPartition, CommittedOffset] = {}
    for offsets in readers:
        for place, kept in offsets.items():
            if place not in found or kept.offset > found[place].offset:
                found[place] = kept
    return found


def _side_topics(segment: Segment) -> Iterator[SideTopic]:
    if segment.reader is not None:
        return
    for step in segment.steps:
        group = f"{segment.pipeline}.{step.stage.stage_id}"
        for topic in (*(one.name for one in step.retry_topics), replay_topic_of(group)):
            yield SideTopic(segment, group, topic)


async def _to_move(
    kafka: AskedOnce, segments: Iterable[Segment]
) -> list[tuple[SideTopic, Positions]]:
    existing = await kafka.list_topics()
    return [
        (side, positions)
        for segment in segments
        for side in _side_topics(segment)
        if side.topic in existing
        and (positions := await _positions(kafka, side))
        and side.segment.group not in positions
    ]


async def _is_needed(admin: Admin, side: SideTopic) -> bool:
    positions = await _positions(AskedOnce(admin), side)
    return bool(positions) and side.segment.group not in positions


async def _positions(kafka: AskedOnce, side: SideTopic) -> Positions:
    """Where the marks lead to from the own group of the stage; without them, who has read."""
    group, passed = side.own_group, set[str]()
    while group not in passed:
        passed.add(group)
        offsets = await kafka.offsets_in(side.topic, group)
        home = home_of(offsets)
        if offsets and home is None:
            return {group: offsets}
        group = home or group
    return await _readers(kafka, side)


async def _readers(kafka: AskedOnce, side: SideTopic) -> Positions:
    """Groups of the pipeline that have read the topic: Kafka forgets marks after a week."""
    prefix = f"{side.segment.pipeline}."
    groups = {name for name in await kafka.list_groups() if name.startswith(prefix)}
    bundles = [homes_of(await kafka.committed_offsets(group)) for group in sorted(groups)]
    found: dict[str, Offsets] = {}
    for group in sorted(groups.union([side.segment.group], *bundles)):
        offsets = await kafka.offsets_in(side.topic, group)
        if offsets and home_of(offsets) is None:
            found[group] = offsets
    return found


async def _refusal(admin: Admin, side: SideTopic, positions: Positions) -> str | None:
    """Why a stage cannot go on where another group stands; `None` if it can."""
    for group in positions:
        if side.topic in await admin.subscribed_topics(group):
            return (
                f"{side.name} where group {group!r} stands, but workers still read it with that"
                " group: stop them first"
            )
    has_workers = await admin.member_count(side.segment.group)
    return _has_workers(side, positions) if has_workers else None


def _has_workers(side: SideTopic, positions: Positions) -> str:
    groups = " and ".join(map(repr, positions))
    return (
        f"{side.name} where group {groups} stands, but that cannot be stored while group"
        f" {side.segment.group!r} has workers: stop all of them once"
    )
