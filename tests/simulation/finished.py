"""Checks that nothing is done again that a commit or an acknowledgement says is finished.

A member knows of finished records from the commit at which its assignment began, and from later
acknowledgements. While it has the assignment, it must not work on them again, and its commits must
not leave them out. Before it gives the assignment back, it must have asked for such a commit.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from streamapp.brokers.protocols import MAX_COMMIT_METADATA_BYTES, CommittedOffset
from streamapp.pipeline.context import Context
from streamapp.record import TopicPartition
from tests.simulation.metadata import finished_ahead
from tests.simulation.outcomes import Part
from tests.simulation.waits import Waits

if TYPE_CHECKING:
    from tests.simulation.share import Share

_Member: TypeAlias = tuple[str, str]
"""A process and a group: one member at a time."""


@dataclass(slots=True)
class Known:
    """What a member knows about one of its partitions.

    Attributes:
        since: when the assignment began.
        start: committed offset at which the assignment began; everything before it is finished.
        ahead: finished offsets beyond it, according to that commit.
        acknowledged: offsets finished since, according to flushes that are acknowledged.
        kept: offsets of records whose outputs are acknowledged, though their flush has failed.
        owed: those of `acknowledged` when the member was told to give back or to stop.
        is_called_back: whether it was told to give it back.
        asked: the last commit that it has asked for.
    """

    since: float
    start: int = 0
    ahead: Collection[int] = ()
    acknowledged: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)
    owed: frozenset[int] = frozenset()
    is_called_back: bool = False
    asked: CommittedOffset | None = None

    def done(self, offset: int) -> str:
        """How it knows that an offset is finished, as the middle of a sentence; empty if not."""
        if offset in self.acknowledged or offset in self.kept:
            return "is acknowledged, and worked on"
        if offset < self.start or offset in self.ahead:
            return "was committed, and is worked on"
        return ""

    @property
    def said(self) -> "Said":
        """What the last commit says, or that at which the assignment began."""
        if self.asked is None:
            return Said(self.start, frozenset(self.ahead))
        return Said.of(self.asked)


@dataclass(frozen=True, slots=True)
class Said:
    """What a commit says is finished: everything before an offset, and some beyond it."""

    offset: int
    ahead: frozenset[int]

    @classmethod
    def of(cls, commit: CommittedOffset) -> "Said":
        return cls(commit.offset, frozenset(finished_ahead(commit) if commit.metadata else ()))

    def forgets(self, finished: Collection[int], first_kept: int) -> list[int]:
        """Those of the finished offsets that it does not name."""
        first = max(self.offset, first_kept)
        return sorted(o for o in finished if o >= first and o not in self.ahead)


class Finished:
    """Follows what each member knows to be finished.

    Args:
        parts: the segments.
        first_kept: first offset of a partition that retention has not deleted.
        complain: called when a finished record is worked on again, or missing in a commit.
        checks: how often each promise was checked.
        waits: says where the record of an attempt may be from.
    """

    def __init__(
        self,
        parts: Collection[Part],
        first_kept: Callable[[TopicPartition], int],
        complain: Callable[[str], None],
        checks: Counter[str],
        waits: Waits,
    ) -> None:
        self._first_kept = first_kept
        self._complain = complain
        self._checks = checks
        self._waits = waits
        self._part_of = {stage: p for p in parts for stage in range(p.first, p.last + 1)}
        self._known: defaultdict[_Member, dict[TopicPartition, Known]] = defaultdict(dict)
        self._left: dict[_Member, dict[TopicPartition, Known]] = {}

    def assigned(self, consumer: "Share", names: Collection[TopicPartition], now: float) -> None:
        """Partitions were assigned to a member, which has read their commits."""
        known = self._known[consumer.process, consumer.group]
        for name in names:
            commit = consumer.committed(name)
            if commit is None:
                known[name] = Known(now)
            else:
                ahead = finished_ahead(commit) if commit.metadata else ()
                known[name] = Known(now, commit.offset, frozenset(ahead))

    def told(self, process: str, group: str | None = None) -> None:
        """A member is told to give its partitions back, or all of a process to stop.

        A stop does not change what a member owes that is giving back already: it may have asked for
        its last commit.
        """
        for (of, own), known in self._known.items():
            if of == process and group in (None, own):
                for one in known.values():
                    if group is not None or not one.is_called_back:
                        one.owed = frozenset(one.acknowledged)
                    one.is_called_back |= group is not None

    def gives_back(self, process: str, group: str) -> None:
        """A member has done what it does before it gives its partitions back."""
        self._check_owed(group, self._known[process, group])

    def revoked(self, consumer: "Share", *, may_forget: bool) -> None:
        """A member has given all its partitions back.

        Args:
            consumer: the member.
            may_forget: whether it has given them up because its commits fail.
        """
        known = self._known.pop((consumer.process, consumer.group), {})
        self._left[consumer.process, consumer.group] = {} if may_forget else known

    def ended(self, process: str) -> None:
        """A process has ended in good order, as it was told to."""
        for (of, group), known in self._left.items():
            if of == process:
                self._check_owed(group, known)

    def dead_end(self, process: str, name: TopicPartition, offset: int) -> None:
        """A process has ended because nothing more can be read of a partition from an offset on."""
        group = next(p.group for p in self._part_of.values() if name.topic in p.reads)
        known = self._left.get((process, group), {}).get(name)
        if known is not None:
            known.owed = frozenset(o for o in known.acknowledged if o < offset)
            self._check_owed(group, {name: known})

    def _check_owed(self, group: str, known: Mapping[TopicPartition, Known]) -> None:
        for name, one in known.items():
            self._checks["committed before the end"] += bool(one.owed)
            if forgotten := one.said.forgets(one.owed, self._first_kept(name)):
                self._complain(
                    f"{group}: {name} was given back without a commit that says that {forgotten}"
                    " are finished"
                )

    def acknowledged(
        self, process: str, group: str, name: TopicPartition, offset: int, *, sent_at: float
    ) -> None:
        """All outputs of a record are acknowledged, and so is the flush that has them."""
        known = self._known[process, group].get(name)
        if known is not None and sent_at >= known.since:
            known.acknowledged.add(offset)

    def kept(
        self, process: str, group: str, name: TopicPartition, offset: int, *, sent_at: float
    ) -> None:
        """All outputs of a record are acknowledged, but not all of the flush that has them."""
        known = self._known[process, group].get(name)
        if known is not None and sent_at >= known.since:
            known.kept.add(offset)

    def attempted(self, process: str, stage: int, value: str, context: Context) -> None:
        """An agent of this process is called."""
        self._waits.began(stage, value, context)
        part = self._part_of[stage]
        own, why = self._known[process, part.group], ""
        for name, offset in self._waits.places(part.first, stage, value, context):
            known = own.get(name)
            self._checks["done once"] += known is not None
            if known is None or not (done := known.done(offset)):
                return
            why = f"{part.group}: {name}@{offset} {done} again"
        if why:
            self._complain(why)

    def committing(
        self, process: str, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """A member asks for a commit."""
        for name, commit in offsets.items():
            known = self._known[process, group].get(name)
            if known is None:
                continue
            known.asked = commit
            if len(commit.metadata) > MAX_COMMIT_METADATA_BYTES // 2:
                continue
            finished = known.acknowledged.union(known.ahead)
            self._checks["not forgotten"] += any(offset >= commit.offset for offset in finished)
            if forgotten := Said.of(commit).forgets(finished, self._first_kept(name)):
                self._complain(
                    f"{group}: the commit of {name} at {commit.offset} forgets that {forgotten} are"
                    " finished"
                )
