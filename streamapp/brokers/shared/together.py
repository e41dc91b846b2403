"""Makes one request of several that are made at about the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition

A = TypeVar("A")
B = TypeVar("B")

GATHER_SECONDS = 0.1
"""How long a request waits for others to go with it.

So at most about ten are made in a second, whatever the number of readers, and nobody waits long.
"""


@dataclass(slots=True, eq=False)
class _Asked(Generic[A, B]):
    """A request of one reader, and where its answer goes."""

    what: Mapping[TopicPartition, A]
    answer: "asyncio.Future[Mapping[TopicPartition, B]]"


class Together(Generic[A, B]):
    """Gathers requests, makes them as one, and gives each its part of the answer.

    When a joint request fails or is late, that may be the fault of one of its partitions, such as
    those of a topic that is gone. So whoever took part asks alone until that has succeeded once. A
    request that nobody waits for any more is cancelled: its answer may never come, and it would
    hold up all that follow.

    Args:
        call: makes a request for these partitions; whatever it leaves out has no answer.
        clock: waits for others.

    Attributes:
        hurries: whether requests do not wait for others; they still do for one that is under way.
    """

    def __init__(
        self,
        call: Callable[[Mapping[TopicPartition, A]], Awaitable[Mapping[TopicPartition, B]]],
        clock: Clock,
    ) -> None:
        self._call = call
        self._clock = clock
        self._waiting: list[_Asked[A, B]] = []
        self._under_way: list[_Asked[A, B]] = []
        self._task: asyncio.Task[None] | None = None
        self._calling: asyncio.Task[Mapping[TopicPartition, B]] | None = None
        self._alone: set[TopicPartition] = set()
        self._answered = asyncio.Event()
        self.hurries = False

    async def ask(self, what: Mapping[TopicPartition, A]) -> Mapping[TopicPartition, B]:
        """Ask with others, or alone; set a deadline around this.

        Raises:
            BrokerError: the request has failed.
        """
        if not self._alone.isdisjoint(what):
            await self._wait_for_earlier(what)
            answer = await self._call(what)
            self._alone.difference_update(what)
            return answer
        asked: _Asked[A, B] = _Asked(what, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="joint requests")
        try:
            return await asked.answer
        except asyncio.CancelledError:
            self._alone.update(what)
            if self._calling is not None and all(one.answer.done() for one in self._under_way):
                self._calling.cancel()
            raise
        finally:
            if asked in self._waiting:
                self._waiting.remove(asked)

    async def give_up(self, error: BrokerError) -> None:
        """Let all requests fail that have no answer yet, and begin afresh."""
        task, self._task = self._task, None
        given_up = [*self._waiting, *self._under_way]
        self._waiting.clear()
        for asked in given_up:
            _fail(asked, error)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self._alone.clear()

    async def _wait_for_earlier(self, what: Mapping[TopicPartition, A]) -> None:
        """Wait for a joint request for the same partitions, which must not come after this one."""
        while any(not asked.what.keys().isdisjoint(what) for asked in self._under_way):
            await self._answered.wait()

    async def _run(self) -> None:
        """Make requests as long as there are some."""
        while self._waiting:
            if not self.hurries:
                await self._clock.sleep(GATHER_SECONDS)
            self._under_way, self._waiting = self._waiting, []
            self._answered.clear()
            try:
                await self._make(self._under_way)
            finally:
                self._under_way = []
                self._answered.set()

    async def _make(self, batch: list[_Asked[A, B]]) -> None:
        joint: dict[TopicPartition, A] = {}
        for asked in batch:
            joint.update(asked.what)
        if not joint:
            return  # who asked has given up
        self._calling = asyncio.ensure_future(self._call(joint))
        try:
            answers = await self._calling
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled():
                raise
            self._alone.update(joint)
            if isinstance(error, asyncio.CancelledError):
                error = BrokerError("the request was cancelled")
            for asked in batch:
                _fail(asked, error)
            return
        finally:
            self._calling = None
        for asked in batch:
            if not asked.answer.done():
                own = {name: answers[name] for name in asked.what if name in answers}
                asked.answer.set_result(own)


def _is_cancelled() -> bool:
    """Whether the task that runs this is to end, and not what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _fail(asked: _Asked[A, B], error: Exception) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(error)
