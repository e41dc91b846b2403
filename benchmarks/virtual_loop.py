"""An event loop with virtual time, so that every run is the same.

For code that has no sockets: when nothing is ready, time jumps to the next timer.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

EPOCH_SECONDS = 1_760_000_000.0
"""What the wall clock shows when the loop starts."""


class _Selector(selectors.SelectSelector):
    """A selector that never waits and reports how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is ready and no timer runs: the run would never end")
        self.waited_seconds += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop of asyncio on its own time."""

    def __init__(self) -> None:
        self._own_selector = _Selector()
        super().__init__(self._own_selector)

    def time(self) -> float:
        """Seconds that have been waited for."""
        return self._own_selector.waited_seconds


class LoopClock:
    """The clock of the running loop, as `streamapp.clock.Clock` has it."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return EPOCH_SECONDS + self.monotonic()

    def monotonic(self) -> float:
        """Seconds that have been waited for."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait, on the loop's time."""
        await asyncio.sleep(seconds)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)
