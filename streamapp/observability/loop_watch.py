"""Watches the event loop of a worker from a thread, and names the agent that blocks it.

While a function does not give other work its turn, nothing that runs on the event loop can tell of
it: no page answers, no heartbeat is sent. A thread can, since Python lets it look at what the
others run.
"""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

from streamapp.beside import beside
from streamapp.observability.loop_blocks import GRAVE_SECONDS, LoopBlock, LoopBlocks

log = logging.getLogger(__name__)

TICK_SECONDS = 0.2
"""How often the event loop shows that it runs."""

LATE_SECONDS = 1.0
"""A loop that has not shown it for so long is blocked."""

_WAITING = ("selectors.py", "uvloop")
"""Files in which an event loop waits for something to do."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose function some code is."""

    pipeline: str
    stage: str
    agent: str


class LoopWatch:
    """Notes when the event loop is blocked for a second or longer, and by what.

    Args:
        blocks: is told of each time.
        owners: whose function each code object is.
    """

    def __init__(self, blocks: LoopBlocks, owners: Mapping[CodeType, Owner]) -> None:
        self._blocks = blocks
        self._owners = owners
        self._ticked_at = time.monotonic()
        self._thread_id = 0
        self._ended = threading.Event()
        self._block: LoopBlock | None = None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the running event loop while the block runs."""
        self._thread_id = threading.get_ident()
        self._ticked_at = time.monotonic()
        threading.Thread(target=self._watch, name="loop watch", daemon=True).start()
        try:
            async with beside(self._tick()):
                yield
        finally:
            self._ended.set()

    async def _tick(self) -> None:
        while True:
            self._ticked_at = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)

    def _watch(self) -> None:
        looked_at = time.monotonic()
        while not self._ended.wait(TICK_SECONDS):
            now = time.monotonic()
            stood_still = now - looked_at > LATE_SECONDS  # all of the process did, this thread too
            looked_at = now
            if now - self._ticked_at < LATE_SECONDS:
                self._end()
            elif not stood_still:
                self._note(now)

    def _note(self, now: float) -> None:
        """Note that the loop is blocked, if it is not only waiting for its turn on the machine."""
        since = self._ticked_at
        if self._block is not None:
            was_grave = self._block.seconds >= GRAVE_SECONDS
            self._block.seconds = now - since
            if self._block.seconds >= GRAVE_SECONDS and not was_grave:
                log.warning("%s, and goes on", self._block.in_words)
            return
        running = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - documented
        frames = list(_frames(running))
        if not frames or _is_idle(frames):
            return
        owner = next((o for f in frames if (o := self._owners.get(f.f_code)) is not None), None)
        block = LoopBlock(since, now - since, _place(frames, self._owners))
        if owner is not None:
            block.pipeline, block.stage, block.agent = owner.pipeline, owner.stage, owner.agent
        self._block = block
        self._blocks.add(block)

    def _end(self) -> None:
        if self._block is not None and self._block.seconds >= GRAVE_SECONDS:
            log.warning(
                "%s; declare the agent as @agent(blocking=True), or await what it waits for",
                self._block.in_words,
            )
        self._block = None


def _is_idle(frames: Sequence[FrameType]) -> bool:
    """Whether the loop itself waits; other code, such as `subprocess`, asks a selector as well."""
    file = frames[0].f_code.co_filename
    if not file.endswith("selectors.py"):
        return file.endswith(_WAITING)
    return len(frames) > 1 and frames[1].f_code.co_filename.endswith("base_events.py")


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and its callers, the innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(frames: list[FrameType], owners: Mapping[CodeType, Owner]) -> str:
    """Where it is: in the agent's own function if that is known, else in the innermost one."""
    frame = next((one for one in frames if one.f_code in owners), frames[0])
    name = Path(frame.f_code.co_filename).name
    return f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
