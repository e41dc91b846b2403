"""The kinds of dead letters that a stage has written: how many of each, and since when."""

from collections import deque
from dataclasses import dataclass, field

MOST_KINDS = 32
"""Of more kinds, the one that was seen longest ago is forgotten."""

LATELY_SECONDS = 60.0
SPAN_SECONDS = 5.0
"""What came lately is counted in spans of this length."""


@dataclass(slots=True)
class LetterKind:
    """Dead letters with the same fingerprint.

    Attributes:
        fingerprint: equal for failures of the same kind in the same place.
        error: name of the exception's class; never its message, which may hold values.
        reason: why they became dead letters.
        count: how many there are since the start.
        oldest_at: smallest timestamp of them, in seconds since the epoch, from which retention
            counts; `None` if none has one.
        first_at, last_at: when the first and the last failed, in seconds since the epoch.
    """

    fingerprint: str
    error: str
    reason: str
    first_at: float
    last_at: float
    count: int = 0
    oldest_at: float | None = None
    _spans: deque[list[float]] = field(
        default_factory=lambda: deque(maxlen=int(LATELY_SECONDS / SPAN_SECONDS) + 1)
    )

    def add(self, at: float, timestamp: float | None = None) -> None:
        """Count one that failed at a time, and has a timestamp, in seconds since the epoch.

        A clock that is set back begins anew: what came before it would count as of the future.
        """
        self.count += 1
        if timestamp is not None:
            known = self.oldest_at
            self.oldest_at = timestamp if known is None else min(known, timestamp)
        self.last_at = at
        if self._spans and at < self._spans[-1][0]:
            self._spans.clear()
        if self._spans and at - self._spans[-1][0] < SPAN_SECONDS:
            self._spans[-1][1] += 1
        else:
            self._spans.append([at, 1])

    def within_a_minute_of(self, now: float) -> int:
        """How many failed within the minute before a time in seconds since the epoch."""
        return int(sum(count for at, count in self._spans if 0 <= now - at <= LATELY_SECONDS))


class LetterKinds:
    """Counts dead letters by fingerprint, the latest kinds only."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[str, LetterKind] = {}

    def count(
        self, fingerprint: str, error: str, reason: str, at: float, timestamp: float | None = None
    ) -> None:
        """Count a dead letter that failed at a time, and has a timestamp, both since the epoch."""
        kind = self._kinds.pop(fingerprint, None)
        if kind is None:
            kind = LetterKind(fingerprint, error, reason, at, at)
            if len(self._kinds) >= MOST_KINDS:
                del self._kinds[next(iter(self._kinds))]
        kind.add(at, timestamp)
        self._kinds[fingerprint] = kind  # the one seen last stands last

    def list(self) -> tuple[LetterKind, ...]:
        """The kinds, the one seen last first."""
        return tuple(reversed(self._kinds.values()))

    def most_lately(self) -> tuple[LetterKind, int] | None:
        """The kind with most dead letters within a minute of the last one, and how many.

        `None` without any dead letter.
        """
        if not self._kinds:
            return None
        last_at = next(reversed(self._kinds.values())).last_at
        counted = [(kind, kind.within_a_minute_of(last_at)) for kind in self._kinds.values()]
        return max(counted, key=lambda one: one[1])
