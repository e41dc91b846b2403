"""Time slices: agents that never suspend must still let the rest of the process run."""

import asyncio

from streamapp.clock import Clock

SLICE_SECONDS = 0.01
"""How long agents that never suspend may hold the event loop; a call in progress is not cut short.

Much shorter than a heartbeat interval or a linger, and long enough that the switch costs little.
"""


class TimeSlice:
    """The time until which the lanes of a segment may run without a pause.

    Attributes:
        end: that time, in monotonic seconds.
    """

    __slots__ = ("_clock", "end")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.end = 0.0

    async def yield_to_event_loop(self) -> float:
        """Let the rest of the process run once: fetching, sending, heartbeats.

        Returns:
            The time afterwards, in monotonic seconds.
        """
        await asyncio.sleep(0)
        now = self._clock.monotonic()
        # Counted from now, so that the time that others took does not shorten this slice.
        self.end = now + SLICE_SECONDS
        return now
