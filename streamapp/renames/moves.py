"""Pipelines that move into a bundle, out of it, or into another one take their positions along.

A stage of a bundle commits to the group of the bundle, and outside of it to a group of its own. So
that either finds where the other stood, the own group of a stage in a bundle holds marks: offsets
whose metadata names the group that has the true ones.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from streamapp.brokers.protocols import Admin, CommittedOffset
from streamapp.errors import CommitRefusedError, RenamedStageError
from streamapp.pipeline.topology import Segment
from streamapp.record import TopicPartition
from streamapp.renames.asked_once import AskedOnce, Offsets
from streamapp.runtime.commit_metadata import marked

log = logging.getLogger(__name__)

_MARK = "moved:"

_MOST_TOLD = 3
"""Of more stages that cannot move, only the number is told: a bundle may have hundreds."""


@dataclass(frozen=True, slots=True)
class Move:
    """A stage whose position is in another group than the one that it reads with now.

    Attributes:
        segment: the stage, with those that are fused to it.
        source: the group that has its position.
        offsets: the position.
    """

    segment: Segment
    source: str
    offsets: Offsets


@dataclass(frozen=True, slots=True)
class Moves:
    """Stages that move, and reasons why they cannot.

    Attributes:
        moved: the stages.
        refusals: one sentence for each that cannot move now.
    """

    moved: tuple[Move, ...] = ()
    refusals: tuple[str, ...] = field(default=())

    def raise_refusals(self) -> None:
        """Raise if a stage cannot move.

        Raises:
            RenamedStageError: all reasons, and what to do.
        """
        if not self.refusals:
            return
        others = len(self.refusals) - _MOST_TOLD
        told = [*self.refusals[:_MOST_TOLD], *([f"and {others} more"] if others > 0 else ())]
        raise RenamedStageError("; ".join(told))


def mark(offset: int, group: str) -> CommittedOffset:
    """What the own group of a stage holds while another group has its position."""
    return CommittedOffset(offset, f"{_MARK}{group}")


async def position_of(kafka: AskedOnce, segment: Segment) -> Offsets:
    """What a stage begins at: the offsets of its group, or those that it would take along."""
    if segment.bundle is None:
        return await true_offsets(kafka, await kafka.committed_offsets(segment.group))
    found = await kafka.offsets_of(segment, segment.group)
    return found or await true_offsets(kafka, await kafka.offsets_of(segment, segment.full_name))


async def true_offsets(kafka: AskedOnce, offsets: Offsets) -> Offsets:
    """What the offsets of a stage's own group stand for: where they are marks, those of its home.

    A mark is as old as the last time that it was renewed.
    """
    true = _without_marks(offsets)
    for home in homes_of(offsets):
        marked_for = {n.topic for n, kept in offsets.items() if kept.metadata == f"{_MARK}{home}"}
        found = await kafka.committed_offsets(home)
        true |= {name: kept for name, kept in found.items() if name.topic in marked_for}
    return true


def home_of(offsets: Offsets) -> str | None:
    """The group that has the position of a stage, by the marks in its own; `None` without marks."""
    return min(homes_of(offsets), default=None)


def homes_of(offsets: Offsets) -> list[str]:
    """The groups that the marks among these offsets name, in their order."""
    marks = (kept.metadata for kept in offsets.values() if _is_mark(kept))
    return sorted({name.removeprefix(_MARK) for name in marks})


async def find_moves(kafka: AskedOnce, segments: Iterable[Segment]) -> Moves:
    """Find the stages that have to take a position along; changes nothing."""
    moved, refusals = [], []
    for segment in segments:
        move = await _move_of(kafka, segment)
        if move is None:
            continue
        reason = await _refusal(kafka.admin, move)
        if reason is None:
            moved.append(move)
        elif await _move_of(AskedOnce(kafka.admin), segment) is not None:
            refusals.append(reason)  # else another worker has done it
    return Moves(tuple(moved), tuple(refusals))


async def store_moves(admin: Admin, moves: Moves) -> None:
    """Store the positions where they are looked for from now on, then mark where they were.

    They are read anew. Since they were found, the workers before may have committed once more, or
    another worker may have moved them, worked and left: what it has done would be taken back.

    Raises:
        RenamedStageError: workers have started meanwhile.
    """
    moved = await _moves_now(admin, [one.segment for one in moves.moved])
    targets: dict[str, dict[TopicPartition, CommittedOffset]] = {}
    for move in moved:
        targets.setdefault(move.segment.group, {}).update(move.offsets)
    for group, offsets in targets.items():
        try:
            await admin.set_offsets(group, offsets)
        except CommitRefusedError as error:
            segments = [one.segment for one in moved if one.segment.group == group]
            if (await find_moves(AskedOnce(admin), segments)).moved:
                raise RenamedStageError(
                    f"the position of {_named(segments[0])} could not be stored: {error}"
                ) from error
            continue  # another worker, started at the same time, has stored it
    for move in moved:
        if move.segment.bundle is not None:
            await store_marks(admin, move.segment, move.offsets)
        log.info("%s resumes at the offsets of group %s", _named(move.segment), move.source)


async def _moves_now(admin: Admin, segments: Sequence[Segment]) -> Sequence[Move]:
    """Those of the stages that still have to move, with the positions that they have now.

    Raises:
        RenamedStageError: workers read with one of the groups.
    """
    (await find_moves(AskedOnce(admin), segments)).raise_refusals()
    kafka = AskedOnce(admin)  # asked after that: nobody commits to the groups any more
    found = [await _move_of(kafka, segment) for segment in segments]
    return [move for move in found if move is not None]


async def store_marks(admin: Admin, segment: Segment, offsets: Offsets) -> None:
    """Mark in the own group of a stage that its position is in the group of its bundle.

    Raises:
        CommitRefusedError: workers read with that group.
    """
    marks = {name: mark(kept.offset, segment.group) for name, kept in offsets.items()}
    await admin.set_offsets(segment.full_name, marks)


async def _move_of(kafka: AskedOnce, segment: Segment) -> Move | None:
    own = _of_sources(segment, await kafka.offsets_of(segment, segment.full_name))
    home = home_of(own)
    source = segment.full_name if home is None else home
    if not own or source == segment.group:
        return None
    offsets = _without_marks(own)
    if home is not None:
        offsets |= _of_sources(segment, await kafka.offsets_of(segment, home))
    return Move(segment, source, offsets)


def _of_sources(segment: Segment, offsets: Offsets) -> Offsets:
    """Those in its sources: retry and replay topics go with their stage, see `side_topics`."""
    return {name: kept for name, kept in offsets.items() if segment.has_source(name.topic)}


def _without_marks(offsets: Offsets) -> dict[TopicPartition, CommittedOffset]:
    return {name: marked(kept.offset) if _is_mark(kept) else kept for name, kept in offsets.items()}


async def _refusal(admin: Admin, move: Move) -> str | None:
    """Why a stage cannot move now; `None` if it can."""
    segment = move.segment
    if not (await admin.subscribed_topics(move.source)).isdisjoint(_topics(move.offsets)):
        return (
            f"{_named(segment)} goes on where group {move.source!r} stands, but workers still read"
            " its topics with that group: stop them first"
        )
    if await admin.member_count(segment.group):
        return (
            f"{_named(segment)} goes on where group {move.source!r} stands, but that cannot be"
            f" stored while group {segment.group!r} has workers: stop all of them once"
        )
    return None


def _topics(offsets: Offsets) -> Collection[str]:
    return {name.topic for name in offsets}


def _is_mark(kept: CommittedOffset) -> bool:
    return kept.metadata.startswith(_MARK)


def _named(segment: Segment) -> str:
    return f"stage {segment.name!r} of pipeline {segment.pipeline!r}"
