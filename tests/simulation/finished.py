"""Finished is finished: what a commit or an acknowledgement says is done is not done again.

A member knows from the commit that its assignment began at, and from acknowledgements since. While
it holds the assignment, no attempt may be made on any of that, and its commits may not forget it.
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
    """What a member knows of one partition that it holds.

    Attributes:
        since: when the assignment began.
        start: where the assignment began; everything before is finished.
        ahead: finished beyond that, as the commit said that the assignment began at.
        acknowledged: finished since, as whole flushes that were acknowledged say.
    """

    since: float
    start: int = 0
    ahead: Collection[int] = ()
    acknowledged: set[int] = field(default_factory=set)


class Finished:
    """Follows what each member knows.

    Args:
        parts: the segments.
        first_kept: first offset that retention has left in a partition.
        complain: called when something is done again, or forgotten.
        checks: how often each rule was looked at.
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
        """A member was given these partitions, and read where to begin."""
        known = self._known[consumer.process, consumer.group]
        for name in names:
            commit = consumer.committed(name)
            if commit is None:
                known[name] = Known(now)
            else:
                ahead = finished_ahead(commit) if commit.metadata else ()
                known[name] = Known(now, commit.offset, frozenset(ahead))

    def revoked(self, consumer: "SimulatedConsumer") -> None:
        """A member has given everything back."""
        self._known.pop((consumer.process, consumer.group), None)

    def acknowledged(
        self, process: str, group: str, name: TopicPartition, offset: int, *, sent_at: float
    ) -> None:
        """All that came of a record is acknowledged, with its whole flush."""
        known = self._known[process, group].get(name)
        if known is not None and sent_at >= known.since:
            known.acknowledged.add(offset)

    def attempted(self, process: str, stage: int, context: Context) -> None:
        """An agent of this process is called."""
        part = self._part_of[stage]
        name = TopicPartition(part.source, context.partition)
        offset = context.record.offset
        known = self._known[process, part.group].get(name)
        if known is None:
            return
        self._checks["done once"] += 1
        if offset in known.acknowledged:
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
