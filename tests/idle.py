"""An event loop that does not wait when nothing can happen before its next timer.

Tests without a server wait only for timers of their own process: attempts that back off, commits
each second, sessions that end. Where the loop has no socket, pipe, thread or process that could
wake it, the time until the next timer is skipped; both the loop and `SystemClock` are told, so
durations stay what they would be.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from streamapp.clock import SystemClock


class _Skipping:
    """Attributes:
    is_allowed: whether the test that runs waits for nothing outside its process.
    seconds: what has been skipped so far; time never goes back from one test to the next.
    """

    is_allowed = False
    seconds = 0.0


class SkippingLoop(asyncio.SelectorEventLoop):
    """The ordinary event loop, on a selector that skips."""

    def __init__(self) -> None:
        self.threads_running = 0
        self._waiting = _SkippingSelector(self)
        super().__init__(self._waiting)
        self._threads = ThreadPoolExecutor(thread_name_prefix="default")
        self.set_default_executor(self._threads)
        self._waiting.files_of_the_loop = len(self._waiting.get_map())

    def time(self) -> float:
        return time.monotonic() + _Skipping.seconds

    def run_in_executor(  # type: ignore[override]  # the original ties the arguments together
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        pool = executor or self._threads
        running = pool.submit(func, *args)
        self.threads_running += 1
        future = asyncio.wrap_future(running, loop=self)
        # Told of after the future: the loop must not skip what its waiter would do next.
        running.add_done_callback(self._thread_ended)
        return future

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        self.threads_running += 1  # for good: the end of a process may wake the loop at any time
        return await super().subprocess_exec(*args, **options)

    def _thread_ended(self, _running: "Future[Any]") -> None:
        with suppress(RuntimeError):  # the loop may be closed before a thread that was given up
            self.call_soon_threadsafe(self._forget_thread)

    def _forget_thread(self) -> None:
        self.threads_running -= 1


class _SkippingSelector(selectors.DefaultSelector):
    """Attributes:
    files_of_the_loop: how many files the loop itself watches, to be woken by threads.
    """

    files_of_the_loop = 0

    def __init__(self, loop: SkippingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        alone = len(self.get_map()) <= self.files_of_the_loop and not self._loop.threads_running
        if timeout and _Skipping.is_allowed and alone:
            _Skipping.seconds += timeout
            timeout = 0
        return super().select(timeout)


@contextmanager
def waits_skipped() -> Iterator[None]:
    """Skip waits in this block, for the loop and for every `SystemClock`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Skipping, "is_allowed", True)
        patch.setattr(SystemClock, "monotonic", staticmethod(_monotonic))
        patch.setattr(SystemClock, "time", staticmethod(_time))
        yield


def _monotonic(read: Callable[[], float] = time.monotonic) -> float:
    return read() + _Skipping.seconds


def _time(read: Callable[[], float] = time.time) -> float:
    return read() + _Skipping.seconds
