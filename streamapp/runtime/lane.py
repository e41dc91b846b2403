"""A lane: one coroutine that runs attempts, and how attempts are cancelled."""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from streamapp.pipeline.agent_call import CANCEL_AGAIN_SECONDS
from streamapp.pipeline.contexts import Contexts
from streamapp.record import Record
from streamapp.runtime.ready import Chunk
from streamapp.runtime.work import Work


class Interruption(Enum):
    """Why a running attempt was cancelled."""

    TIMEOUT = auto()  # it took longer than the stage allows
    ABANDONED = auto()  # its partition was closed


class Lane:
    """One coroutine and what it works on.

    A burst counts records in the metrics, and adds them to the flush, for many at once; until then
    they are "not counted". `chunk` to `rekeys` are about a burst.

    Attributes:
        task: the task of the coroutine.
        last_offset: offset of the last record of its last burst.
        work: the record of its attempt, once the attempt has suspended or left the burst; `None`
            while it is parked.
        batch: the records of a call with several of them, until all are handled; `work` is the one
            that is past the call, at a fused step.
        chunk: where it takes records from.
        record, place: the record that it has just begun, and its index in the chunk. If the attempt
            suspends, they are made into `work`.
        packed: what the fused step takes that has just begun; not of the first step.
        told: how many steps of its record the hold was told of, because a later one has suspended.
        marks: monotonic seconds: when the first record that is not counted began, and then when
            each step of each such record ended.
        filtered: how many of these records had no output.
        rekeys: whether one of their outputs may have another key than its record.
        deadline: monotonic seconds at which the attempt on `work` has taken too long; `None`
            outside an attempt that can be cancelled.
        interruption: why its attempt is being cancelled; `None` if it is not.
        cancels: how often this attempt was cancelled.
        contexts: the context of this attempt, and how the lane gets another one.
    """

    __slots__ = (
        "batch",
        "cancels",
        "chunk",
        "contexts",
        "deadline",
        "filtered",
        "interruption",
        "last_offset",
        "marks",
        "packed",
        "place",
        "record",
        "rekeys",
        "task",
        "told",
        "work",
    )

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.work: Work | None = None
        self.batch: Sequence[Work] = ()
        self.chunk: Chunk | None = None
        self.record: Record | None = None
        self.place = 0
        self.packed: Any = None
        self.told = 0
        self.last_offset = -1
        self.marks: list[float] = []
        self.filtered = 0
        self.rekeys = False
        self.deadline: float | None = None
        self.interruption: Interruption | None = None
        self.cancels = 0
        self.contexts = Contexts()

    def begin(self, chunk: Chunk, started: float) -> None:
        """Begin to take records from a chunk, at a time in monotonic seconds."""
        self.chunk = chunk
        self.marks = [started]
        self.told = 0

    @property
    def works(self) -> Sequence[Work]:
        """The records that it works on, if their attempts have suspended or left the burst."""
        return self.batch or (() if self.work is None else (self.work,))

    @property
    def running(self) -> Sequence[Work]:
        """The records of the attempt that runs now."""
        return self.batch if self.work is None else (self.work,)

    @property
    def stuck(self) -> bool:
        """Whether its attempt has not ended although it was cancelled some seconds ago."""
        return self.cancels > 1

    def end_call(self) -> bool:
        """Have no deadline any more, as the agent has returned.

        Returns:
            Whether it was cancelled meanwhile, which will still be raised.
        """
        self.deadline = self.interruption = None
        self.cancels = 0
        return self.task is not None and self.task.cancelling() > 0

    def interrupt(self, reason: Interruption, now: float) -> None:
        """Cancel the attempt, and set a deadline for the next cancel if it does not end.

        It is repeated because Python 3.11 can lose a single cancellation, and not at once because a
        second one would interrupt the agent's clean-up.
        """
        self.interruption = reason
        self.deadline = now + CANCEL_AGAIN_SECONDS
        self.cancels += 1
        if self.task is not None:
            self.task.cancel()

    def clear_cancels(self) -> None:
        """Take back the cancellations of an attempt that has ended, so that the lane goes on.

        They may come from `interrupt`, or from an agent that cancels its own task and catches that,
        as timeouts written by hand do.
        """
        self.interruption = None
        self.cancels = 0
        while self.task is not None and self.task.cancelling():
            self.task.uncancel()
