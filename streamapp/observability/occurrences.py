"""What has happened to a stage lately: rebalances, holds, starts; each is told in a clause."""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

MOST = 20
"""Of more, the oldest are forgotten."""


class OccurrenceKind(StrEnum):
    """What has happened."""

    STARTED = "started"  # the stage runs
    ENDED = "ended"  # it has drained, or reached the end
    FAILED = "failed"
    ASSIGNED = "assigned"  # a rebalance has given it partitions
    REVOKED = "revoked"  # a rebalance has taken its partitions back
    GIVEN_UP = "given_up"  # it gave its partitions up, since commits kept failing
    HELD = "held"  # it holds its records
    RESUMED = "resumed"  # it goes on with them
    BATCH_FAILED = "batch_failed"  # its producer was replaced
    POSITION_LOST = "position_lost"  # it reads on elsewhere
    REPLACED = "replaced"  # another agent took a place in it


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that has happened to a stage.

    Attributes:
        at: monotonic seconds.
        kind: what.
        told: the same in one clause for people; never values of records.
        times: how often it has happened in a row; `at` is the last time.
    """

    at: float
    kind: OccurrenceKind
    told: str
    times: int = 1


class Occurrences:
    """The latest of them."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[Occurrence] = deque(maxlen=MOST)

    def add(self, at: float, kind: OccurrenceKind, told: str) -> None:
        """Note something that has happened at a time in monotonic seconds.

        What happens again and again counts as one, so that it does not push out what was before.
        """
        times = 1
        if self._kept and (self._kept[-1].kind, self._kept[-1].told) == (kind, told):
            times += self._kept.pop().times
        self._kept.append(Occurrence(at, kind, told, times))

    def list(self) -> tuple[Occurrence, ...]:
        """Those that are kept, the last one last."""
        return tuple(self._kept)
