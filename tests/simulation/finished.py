"""Checks that nothing is done again that a commit or an acknowledgement says is finished.

A member knows of finished records from the commit at which its assignment began, and from later
acknowledgements. While it has the assignment, it must not work on them again, and its commits must
not leave them out.
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

if TYPE_CHECKING:
    from tests.simulation.consumer import SimulatedConsumer

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
    """

    since: float
    start: int = 0
    ahead: Collection[int] = ()
    acknowledged: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)


class Finished:
    """Follows what each member knows to be finished.

    Args:
        parts: the segments.
        first_kept: first offset of a partition that retention has not deleted.
        complain: called when a finished record is worked on again, or missing in a commit.
        checks: how often each promise was checked.
    """

    def __init__(
        self,
        parts: Collection[Part],
        first_kept: Callable[[TopicPartition], int],
        complain: Callable[[str], None],
        checks: Counter[str],
    ) -> None:
        self._first_kept = first_kept
        self._complain = complain
        self._checks = checks
        self._part_of = {stage: p for p in parts for stage in range(p.first, p.last + 1)}
        self._known: defaultdict[_Member, dict[TopicPartition, Known]] = defaultdict(dict)

    def assigned(
        self, consumer: "SimulatedConsumer", names: Collection[TopicPartition], now: float
    ) -> None:
        """Partitions were assigned to a member, which has read their commits."""
        known = self._known[consumer.process, consumer.group]
        for name in names:
            commit = consumer.committed(name)
            if commit is None:
                known[name] = Known(now)
            else:
                ahead = finished_ahead(commit) if commit.metadata else ()
                known[name] = Known(now, commit.offset, frozenset(ahead))

    def revoked(self, consumer: "SimulatedConsumer") -> None:
        """A member has given all its partitions back."""
        self._known.pop((consumer.process, consumer.group), None)

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

    def attempted(self, process: str, stage: int, context: Context) -> None:
        """An agent of this process is called."""
        part = self._part_of[stage]
        name = TopicPartition(part.source, context.partition)
        offset = context.record.offset
        known = self._known[process, part.group].get(name)
        if known is None:
            return
        self._checks["done once"] += 1
        if offset in known.acknowledged or offset in known.kept:
            self._complain(f"{part.group}: {name}@{offset} is acknowledged, and worked on again")
        elif offset < known.start or offset in known.ahead:
            self._complain(f"{part.group}: {name}@{offset} was committed, and is worked on again")

    def committing(
        self, process: str, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """A member asks for a commit."""
        for name, commit in offsets.items():
            known = self._known[process, group].get(name)
            if known is None or len(commit.metadata) > MAX_COMMIT_METADATA_BYTES // 2:
                continue
            said = set(finished_ahead(commit)) if commit.metadata else set()
            first = max(commit.offset, self._first_kept(name))
            finished = {o for o in known.acknowledged.union(known.ahead) if o >= first}
            self._checks["not forgotten"] += bool(finished)
            if forgotten := sorted(finished - said):
                self._complain(
                    f"{group}: the commit of {name} at {commit.offset} forgets that {forgotten} are"
                    " finished"
                )
