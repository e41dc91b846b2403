"""When the end of a partition was where: tells how long ago a record came, whatever its timestamp.

Timestamps of records are those of their producers, which may be wrong, or those of events of long
ago. Seconds of lag that are taken from them mislead. The end of the log is measured every second
anyway.
"""

from collections import deque
from dataclasses import dataclass

MOST_POINTS = 256
"""Of more points, every second one of the older half is left out."""


@dataclass(slots=True)
class _Point:
    first_at: float
    last_at: float
    end: int


class EndHistory:
    """The ends of one partition, in the order in which they were measured."""

    __slots__ = ("_points",)

    def __init__(self) -> None:
        self._points: deque[_Point] = deque()

    def note(self, at: float, end: int) -> None:
        """Note an end that was measured at a time in seconds; one that goes back begins anew."""
        points = self._points
        if points and end < points[-1].end:
            points.clear()
        if points and end == points[-1].end:
            points[-1].last_at = at
            return
        points.append(_Point(at, at, end))
        if len(points) > MOST_POINTS:
            older = MOST_POINTS // 2
            kept = [p for i, p in enumerate(points) if i >= older or i % 2 == 0]
            self._points = deque(kept)

    @property
    def begins_at(self) -> float | None:
        """When the first end that is kept was measured; `None` without any."""
        return self._points[0].first_at if self._points else None

    def reaches(self, offset: int) -> bool:
        """Whether an end behind this offset was measured."""
        return bool(self._points) and offset < self._points[-1].end

    def arrival(self, offset: int) -> float | None:
        """About when the record at this offset came; `None` if it was there from the beginning.

        Between two measurements the log is taken to have grown evenly.
        """
        before: _Point | None = None
        for point in reversed(self._points):
            if point.end <= offset:
                before = point
                break
            after = point
        else:
            return None
        if before is self._points[-1]:
            return None  # it is not there yet
        share = (offset - before.end) / (after.end - before.end)
        return before.last_at + share * (after.first_at - before.last_at)
