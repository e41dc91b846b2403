"""When the event loop of a worker was blocked, and by which agent."""

from collections import deque
from dataclasses import dataclass

GRAVE_SECONDS = 2.0
"""A block shorter than this is no reason to call anybody."""

LATELY_SECONDS = 60.0
MOST_BLOCKS = 50


@dataclass(slots=True)
class LoopBlock:
    """A time in which the event loop ran nothing else.

    Attributes:
        since: monotonic seconds when it began.
        seconds: how long it has lasted; grows while it does.
        place: file, line and function that ran.
        pipeline, stage, agent: whose function that is; empty if it is no agent's.
    """

    since: float
    seconds: float
    place: str
    pipeline: str = ""
    stage: str = ""
    agent: str = ""

    @property
    def in_words(self) -> str:
        """What has happened, in one clause."""
        who = f"agent {self.agent!r} of stage {self.stage!r}" if self.agent else "something"
        return f"{who} has blocked the event loop for {self.seconds:.1f} s in {self.place}"


class LoopBlocks:
    """The latest blocks of one event loop; a thread writes them, and the loop reads them."""

    def __init__(self) -> None:
        self._blocks: deque[LoopBlock] = deque(maxlen=MOST_BLOCKS)

    def add(self, block: LoopBlock) -> None:
        """Note a block that is going on."""
        self._blocks.append(block)

    def list(self) -> tuple[LoopBlock, ...]:
        """The latest blocks, the last one last."""
        return tuple(self._blocks)

    def grave_block(self, now: float) -> LoopBlock | None:
        """The longest grave one of the last minute, at a time in monotonic seconds."""
        lately = [
            one
            for one in self._blocks
            if one.seconds >= GRAVE_SECONDS and now - one.since - one.seconds <= LATELY_SECONDS
        ]
        return max(lately, key=lambda one: one.seconds, default=None)
