"""A lane: one coroutine that runs attempts, and the ways to interrupt it."""

import asyncio
from enum import Enum, auto

from streamapp.record import Record
from streamapp.runtime.ready import Chunk
from streamapp.runtime.work import Work

CANCEL_AGAIN_SECONDS = 5.0
"""How long an agent may clean up after it was cancelled, before it is cancelled again."""


class Interruption(Enum):
    """Why a running attempt was cancelled."""

    TIMEOUT = auto()
    ABANDONED = auto()


class Lane:
    """One coroutine and what it works on.

    Attributes:
        task: runs it.
        work: record in its hands, once others have to know of it; `None` when it is parked.
        chunk: where it takes records from in a burst.
        record, place: the record that it has just begun and its place in the chunk; made into
            `work` when the attempt suspends.
        marks: monotonic seconds: when the first record that is not booked began, and when each
            step of each of them ended.
        filtered: how many of these gave no output.
        deadline: monotonic seconds at which the attempt on `work` has taken too long; `None`
            outside an attempt that can be interrupted.
        interruption: why its attempt is being cancelled.
        cancels: how often this attempt was cancelled.
    """

    __slots__ = (
        "cancels",
        "chunk",
        "deadline",
        "filtered",
        "interruption",
        "marks",
        "place",
        "record",
        "task",
        "work",
    )

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.work: Work | None = None
        self.chunk: Chunk | None = None
        self.record: Record | None = None
        self.place = 0
        self.marks: list[float] = []
        self.filtered = 0
        self.deadline: float | None = None
        self.interruption: Interruption | None = None
        self.cancels = 0

    def begin(self, chunk: Chunk, started: float) -> None:
        """Take records from this chunk, from now on, in monotonic seconds."""
        self.chunk = chunk
        self.marks = [started]

    @property
    def stuck(self) -> bool:
        """Whether its agent goes on although it was cancelled a while ago."""
        return self.cancels > 1

    def interrupt(self, reason: Interruption, now: float) -> None:
        """Cancel the attempt, and again after a while if it has not ended by then.

        A single cancel can get lost in Python 3.11; one that comes too soon cuts the agent's own
        clean-up short.
        """
        self.interruption = reason
        self.deadline = now + CANCEL_AGAIN_SECONDS
        self.cancels += 1
        if self.task is not None:
            self.task.cancel()

    def clear_cancels(self) -> None:
        """Let the cancels of an attempt that has ended count no more, whoever they came from.

        Ours of a timeout, or those of an agent that cancels its own task and swallows it, as
        timeouts written by hand do.
        """
        self.interruption = None
        self.cancels = 0
        while self.task is not None and self.task.cancelling():
            self.task.uncancel()
