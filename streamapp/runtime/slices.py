"""Time slices: agents that never suspend must not keep the rest of the process waiting."""

import asyncio

from streamapp.clock import Clock

SLICE_SECONDS = 0.01
"""Longest time that agents which never suspend hold the event loop; one call is not cut short."""


class TimeSlice:
    """The time until which the lanes of a segment may go on.

    Attributes:
        end: monotonic seconds.
    """

    __slots__ = ("_clock", "end")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.end = 0.0

    async def yield_to_event_loop(self) -> float:
        """Let the rest of the process have a turn: fetching, sending, heartbeats.

        Returns:
            Monotonic seconds after it.
        """
        await asyncio.sleep(0)
        now = self._clock.monotonic()
        # From now on, not from before: the others' turns are not to shorten this one.
        self.end = now + SLICE_SECONDS
        return now
