"""Time as a dependency: the code reads a clock, and tests replace it."""

import asyncio
import time
from contextlib import AbstractContextManager
from typing import Protocol

from streamapp.in_use import InUse


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


_IN_USE: InUse[Clock] = InUse("clock", SystemClock())


def current_clock() -> Clock:
    """The clock of the run that this code is part of; outside of any, that of the machine.

    An agent that waits or measures by it does so in the time of a test as well.
    """
    return _IN_USE.get()


def clock_in_use(clock: Clock) -> AbstractContextManager[None]:
    """Make it the current clock of what is called, and of tasks that are created, within."""
    return _IN_USE.set(clock)
