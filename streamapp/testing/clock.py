"""A clock whose wall time a test sets."""

from datetime import UTC, datetime

from streamapp.clock import SystemClock


class FixedClock(SystemClock):
    """Wall time stands still at `now`; waits and deadlines run on as usual.

    Attributes:
        now: what the clock shows; a test may set it at any time.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.now = now

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now.timestamp()
