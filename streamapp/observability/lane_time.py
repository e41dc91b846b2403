"""How long the lanes of a stage have worked, had nothing to do, or waited for room for outputs."""

from collections.abc import Mapping
from enum import StrEnum


class Activity(StrEnum):
    """What a lane does; the values of the label `activity`."""

    BUSY = "busy"  # it makes attempts, or waits for an agent that has suspended
    IDLE = "idle"  # it has no record to work on
    BLOCKED = "blocked"  # it waits until the broker has taken outputs


class LaneTime:
    """Seconds of all lanes together, by what they did. Times are monotonic seconds.

    A lane that is neither idle nor blocked is busy. Nothing is counted while no lanes run.
    """

    __slots__ = ("_lanes", "_seconds", "_since", "_waiting")

    def __init__(self) -> None:
        self._lanes = 0
        self._since = 0.0
        self._waiting = {Activity.IDLE: 0, Activity.BLOCKED: 0}
        self._seconds = dict.fromkeys(Activity, 0.0)

    def start(self, lanes: int, now: float) -> None:
        """Count so many lanes from now on, all of them busy."""
        self._lanes, self._since = lanes, now
        self._waiting = {Activity.IDLE: 0, Activity.BLOCKED: 0}

    def stop(self, now: float) -> None:
        """Count none any more."""
        self._count(now)
        self._lanes = 0

    def enter(self, activity: Activity, now: float) -> None:
        """One lane becomes idle or blocked."""
        self._count(now)
        self._waiting[activity] += 1

    def leave(self, activity: Activity, now: float) -> None:
        """One lane that was idle or blocked becomes busy again."""
        self._count(now)
        self._waiting[activity] -= 1

    def seconds(self, now: float) -> Mapping[Activity, float]:
        """Seconds since the first start, by what the lanes did."""
        self._count(now)
        return self._seconds

    def _count(self, now: float) -> None:
        passed = now - self._since
        self._since = now
        if not self._lanes:
            return
        busy = self._lanes
        for activity, lanes in self._waiting.items():
            self._seconds[activity] += lanes * passed
            busy -= lanes
        self._seconds[Activity.BUSY] += busy * passed
