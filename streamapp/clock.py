"""Time as a dependency: the code reads a clock, and tests replace it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from.

    `monotonic` measures durations, `time` stamps records, `sleep` waits. All are in seconds.
    """

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""

    def time(self) -> float:
        """Seconds since the epoch."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; zero gives the event loop one turn."""


class SystemClock:
    """The clock of the machine and of the running event loop.

    Its methods are the built-in functions themselves, because the hot path reads the time twice for
    each record.
    """

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)
