"""The latest failures of a stage, for people who ask what is wrong; without messages."""

from collections import deque
from dataclasses import dataclass

MOST = 5
LEAST_SECONDS = 1.0
"""Of failures of one class within this time, the first is kept: the others are alike."""


@dataclass(frozen=True, slots=True)
class LastError:
    """A failure of an attempt.

    Attributes:
        at: when it ended, in seconds since the epoch.
        error: name of the exception's class; never its message, which may hold values.
        fingerprint: equal for failures of the same kind in the same place.
    """

    at: float
    error: str
    fingerprint: str


class LastErrors:
    """The latest failures, the last one last."""

    __slots__ = ("_kept", "_seen_at")

    def __init__(self) -> None:
        self._kept: deque[LastError] = deque(maxlen=MOST)
        self._seen_at: dict[str, float] = {}

    def wants(self, error: type[BaseException], at: float) -> bool:
        """Whether a failure is to be kept; most of many alike are not, which costs little."""
        name = error.__qualname__
        if 0 <= at - self._seen_at.get(name, float("-inf")) < LEAST_SECONDS:
            return False
        if len(self._seen_at) >= MOST:
            self._seen_at.clear()
        self._seen_at[name] = at
        return True

    def add(self, error: LastError) -> None:
        """Keep a failure, and forget the oldest of too many."""
        self._kept.append(error)

    def list(self) -> tuple[LastError, ...]:
        """Those that are kept."""
        return tuple(self._kept)
