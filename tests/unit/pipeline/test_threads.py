"""Blocking functions in threads, and what cancelling one means."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from streamapp.pipeline.threads import in_thread, threads_in_use

PATIENCE_SECONDS = 10.0
WHO: ContextVar[str] = ContextVar("WHO")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


class Blocked:
    """A function that blocks until it is let go, and how it ends then."""

    def __init__(self, pool: ThreadPoolExecutor, end: Callable[[], Any]) -> None:
        self.runs = threading.Event()
        self.let_go = threading.Event()
        self._end = end
        self.called = in_thread(self._block, pool)

    def _block(self) -> Any:
        self.runs.set()
        assert self.let_go.wait(PATIENCE_SECONDS)
        return self._end()

    async def cancelled(self) -> "asyncio.Task[Any]":
        """A call that was cancelled while its thread runs."""
        task: asyncio.Task[Any] = asyncio.ensure_future(self.called())
        while not self.runs.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0)
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        return task


def fail() -> None:
    raise ValueError("in the thread")


async def test_a_thread_sees_the_context_of_its_caller(pool: ThreadPoolExecutor) -> None:
    WHO.set("caller")
    assert await in_thread(WHO.get, pool)() == "caller"


async def test_what_a_thread_raises_is_raised(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(ValueError, match="in the thread"):
        await in_thread(fail, pool)()


@pytest.mark.parametrize("end", [lambda: "a result", fail], ids=["result", "error"])
async def test_a_cancelled_call_ends_when_its_thread_has_and_says_nothing_of_its_result(
    pool: ThreadPoolExecutor, end: Callable[[], Any]
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    blocked = Blocked(pool, end)
    task = await blocked.cancelled()
    assert not task.done()
    blocked.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task, blocked
    gc.collect()
    assert complaints == []


async def test_a_call_that_is_cancelled_again_waits_for_its_thread_all_the_same(
    pool: ThreadPoolExecutor,
) -> None:
    blocked = Blocked(pool, lambda: None)
    task = await blocked.cancelled()
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    blocked.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_is_cancelled_before_a_thread_is_free_does_not_begin(
    pool: ThreadPoolExecutor,
) -> None:
    called: list[int] = []
    blocked = Blocked(pool, lambda: None)
    first = asyncio.ensure_future(blocked.called())
    waiting = asyncio.ensure_future(in_thread(called.append, pool)(1))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)  # it hears of it in its own turn, before the thread is free
    blocked.let_go.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert called == []


async def test_without_a_pool_a_call_runs_in_the_one_in_use() -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool, threads_in_use(pool):
        assert (await in_thread(lambda: threading.current_thread().name)()).startswith("mine")
    assert not (await in_thread(lambda: threading.current_thread().name)()).startswith("mine")
