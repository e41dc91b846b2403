"""An event loop with virtual time, whose scheduling is drawn from a seed.

Nothing sleeps: when nothing is ready, the time jumps to the next timer. Steps of different tasks
that are ready at the same moment run in an order that is drawn. Plain callbacks keep their order,
because asyncio guarantees it. A process is a context: all that is started in it can be frozen and
thawed together, as with SIGSTOP and SIGCONT.
"""

import asyncio
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any

PROCESS: ContextVar[str] = ContextVar("PROCESS", default="")
"""Name of the simulated process that runs; empty for the broker and the world around."""

EPOCH_SECONDS = 1_700_000_000.0
MAX_TURNS = 400_000
TURNS_ARE_FOR_SECONDS = 240.0
"""A run with long waits between its attempts takes many turns, and gets on all the same."""

MAX_CANCELLED_TIMERS = 200


class StalledError(Exception):
    """Nothing is ready and no timer is set, so the run would never end."""


class LivelockError(Exception):
    """The loop has made very many turns in a short time, and the run has not ended."""


class NumberedTask(asyncio.Task[Any]):
    """A task whose order in a set does not depend on its address in memory.

    Attributes:
        process: name of its process.
    """

    def __init__(self, number: int, process: str, coroutine: Any, **options: Any) -> None:
        self._number = number
        self.process = process
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs everything of one simulation.

    Args:
        rng: draws the order.
        disorder: share of turns in which the order of task steps is drawn.

    Attributes:
        turns: number of turns so far.
        thread_seconds: how long a call in a thread takes, by the arguments of the call.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, rng: random.Random, disorder: float) -> None:
        super().__init__()
        self.turns = 0
        self._now = 0.0
        self.allow_turns(MAX_TURNS, each_seconds=TURNS_ARE_FOR_SECONDS)
        self._rng = rng
        self._disorder = disorder
        self._numbers = count()
        self._turn: deque[asyncio.Handle] = deque()
        self._frozen: set[str] = set()
        self._blocked: set[str] = set()
        self._held: dict[str, list[asyncio.Handle]] = {}  # of processes that stand still
        self._cancelled_timers = 0
        self.thread_seconds: Callable[[tuple[Any, ...]], float] = lambda _arguments: 0.01

    def time(self) -> float:
        return self._now

    def allow_turns(self, turns: int, *, each_seconds: float = math.inf) -> None:
        """Raise a `LivelockError` after so many turns from now, or again in each such time."""
        self._allowed_turns, self._each_seconds = turns, each_seconds
        self._last_turn = self.turns + turns
        self._counted_until = self._now + each_seconds

    def burn(self, seconds: float) -> None:
        """Let time pass without running anything, as code that computes does."""
        self._now += seconds

    def block(self, seconds: float) -> None:
        """Keep the process that runs from doing anything else for so long, while all others go on.

        That is what code does which waits without suspending its task. If another process is
        blocked meanwhile, this one is so until the other goes on, or longer.
        """
        process, task = PROCESS.get(), asyncio.current_task(self)
        assert task is not None
        assert process not in self._blocked
        end = self._now + seconds
        self.call_at(end, lambda: None, context=Context())
        self._blocked.add(process)
        # What was to run behind this step still comes before all that is scheduled from now on.
        self._ready.extendleft(reversed(self._turn))
        self._turn.clear()
        asyncio.tasks._leave_task(self, task)
        try:
            while self._now < end and not _inside(self)._stopping:
                self._run_once()
        finally:
            asyncio.tasks._enter_task(self, task)
            self._blocked.discard(process)
            self._go_on(process)

    def freeze(self, process: str) -> None:
        """Run nothing of this process until `thaw`."""
        self._frozen.add(process)

    def thaw(self, process: str) -> None:
        """Continue a frozen process: what became due in the meantime is due at once."""
        self._frozen.discard(process)
        self._go_on(process)

    def is_frozen(self, process: str) -> bool:
        return process in self._frozen

    def _stands_still(self, process: str) -> bool:
        return process in self._frozen or process in self._blocked

    def _go_on(self, process: str) -> None:
        if not self._stands_still(process):
            self._ready.extend(self._held.pop(process, ()))

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> Any:
        number = next(self._numbers)
        process = PROCESS.get() if context is None else context.get(PROCESS, "")
        name = name or f"task {number}"
        return NumberedTask(number, process, coro, loop=self, name=name, context=context)

    def run_in_executor(  # type: ignore[override]  # the original ties the arguments together
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Run a blocking function as a thread does: its result comes some time later."""
        del executor  # it stands for any
        future: asyncio.Future[Any] = self.create_future()
        context = copy_context()

        def finish() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - handed on, as an executor does
                future.set_exception(error)

        self.call_later(self.thread_seconds(args), finish, context=context)
        return future

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        self._cancelled_timers += 1

    def _write_to_self(self) -> None:
        """Do nothing: there is no selector to wake."""

    def _count_turn(self) -> None:
        self.turns += 1
        if self._now >= self._counted_until:
            self.allow_turns(self._allowed_turns, each_seconds=self._each_seconds)
        if self.turns > self._last_turn:
            raise LivelockError(f"{self._allowed_turns} turns of the loop until {self._now:.3f} s")

    def _run_once(self) -> None:
        self._count_turn()
        self._forget_cancelled()
        timers = self._scheduled
        if not self._ready:
            if not timers:
                raise StalledError(f"nothing will ever happen after {self._now:.3f} s")
            self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            timer = heapq.heappop(timers)
            _inside(timer)._scheduled = False
            if timer.cancelled():
                self._cancelled_timers -= 1
            else:
                self._ready.append(timer)
        turn = list(self._ready)
        self._ready.clear()
        if len(turn) > 1 and self._disorder and self._rng.random() < self._disorder:
            self._shuffle(turn)
        self._turn.extend(turn)
        while self._turn:  # `block` takes what is left
            handle = self._turn.popleft()
            if handle.cancelled():
                continue
            if (self._frozen or self._blocked) and self._keep(handle):
                continue
            handle._run()

    def _shuffle(self, turn: list[asyncio.Handle]) -> None:
        """Draw the order of task steps; all other handles keep their places."""
        places = [i for i, handle in enumerate(turn) if _is_step(handle)]
        if len(places) > 1:
            steps = [turn[i] for i in places]
            self._rng.shuffle(steps)
            for i, step in zip(places, steps, strict=True):
                turn[i] = step

    def _keep(self, handle: asyncio.Handle) -> bool:
        """Put handles of a process aside that stands still."""
        process = _inside(handle)._context.get(PROCESS, "")
        if not self._stands_still(process):
            return False
        self._held.setdefault(process, []).append(handle)
        return True

    def _forget_cancelled(self) -> None:
        timers = self._scheduled
        while timers and timers[0].cancelled():
            _inside(heapq.heappop(timers))._scheduled = False
            self._cancelled_timers -= 1
        if self._cancelled_timers > MAX_CANCELLED_TIMERS:
            for timer in timers:
                _inside(timer)._scheduled = not timer.cancelled()
            timers[:] = [timer for timer in timers if not timer.cancelled()]
            heapq.heapify(timers)
            self._cancelled_timers = 0


class VirtualClock:
    """The clock of a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.monotonic = loop.time

    def time(self) -> float:
        return EPOCH_SECONDS + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def process_context(name: str) -> Context:
    """The context of a process of this name."""
    context = copy_context()
    context.run(PROCESS.set, name)
    return context


def _inside(handle: asyncio.Handle | asyncio.AbstractEventLoop) -> Any:
    """A handle or loop, typed with the attributes that event loops use."""
    return handle


def _is_step(handle: asyncio.Handle) -> bool:
    """Whether it begins or continues a task."""
    return isinstance(getattr(_inside(handle)._callback, "__self__", None), asyncio.Task)
