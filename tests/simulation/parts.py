"""Agents made of others, pools and branches, and checks of every call of their parts."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.pool import Pool, pool
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from tests.simulation.faults import Fault
from tests.simulation.loop import PROCESS
from tests.simulation.parts_draw import PartsDraw
from tests.simulation.workload import Agents

_IDLE_SECONDS = 0.3
"""A call may wait for so long although no member of its pool is called."""

_LONG_SHARE = 0.2
"""An attempt that waited for a member for this share of its timeout may fail for that reason."""

_CLEANS_UP_SECONDS = 0.1

_RECOVERED_SECONDS = 50.0
"""So long after a member last failed all is forgiven: five times as long as penalties fade."""

_CALLS = 40
"""Of so many calls of its pool, a member that is as good as the others gets one."""


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt of an agent that is made of others.

    Attributes:
        place: its stage and value.
        idle_since: since when none of its parts runs.
        running: names of parts that run.
        joins: how often its branches were joined.
        waited_seconds: how long none of its parts has run.
        has_ended: whether it is over.
    """

    place: tuple[int, str]
    idle_since: float
    running: list[str] = field(default_factory=list)
    joins: int = 0
    waited_seconds: float = 0.0
    has_ended: bool = False


_ATTEMPT: ContextVar[Attempt] = ContextVar("_ATTEMPT")


class WatchedPool(Pool):
    """A pool, of which it is told when an attempt begins and ends."""

    def __init__(self, inner: Pool, watch: Callable[..., Awaitable[Any]]) -> None:
        vars(self).update(vars(inner))
        self._watch = watch

    async def __call__(self, value: Any, context: Context | None = None) -> Any:
        return await self._watch(super().__call__, value, context)


class Parts:
    """The parts of one stage, in one life of a process.

    Args:
        agents: do the work, and are told of broken promises.
        index: number of the stage.
        give: makes an output of the text that it is to have.
        gives_out: whether these outputs are `Out`.
    """

    def __init__(
        self, agents: Agents, index: int, give: Callable[[str], Any], *, gives_out: bool
    ) -> None:
        draw = agents.scenario.stages[index]
        assert draw.parts is not None
        self._agents = agents
        self._loop = agents.loop
        self._index = index
        self._give = give
        self._type: Any = Out[str] | None if gives_out else str | None
        self._draw: PartsDraw = draw.parts
        self._timeout_seconds = draw.timeout_seconds
        self._active: Counter[str] = Counter()
        self._changed_at = self._loop.time()
        self._recovered: Counter[str] = Counter()  # calls since all was forgiven
        self._failed_at = self._draw.down.ends if self._draw.down else 0.0
        # Time that a process does not notice passes for it all at once.
        stands_still = agents.blocks or Fault.FREEZE in {f for _, f in agents.scenario.events}
        self._notices_time = not stands_still

    def agent(self) -> Agent[Any, Any]:
        """The agent of the stage."""
        return self._pool() if self._draw.capacities else self._branches()

    def _pool(self) -> Agent[Any, Any]:
        members = [self._member(i) for i in range(len(self._draw.capacities))]
        made = pool(
            *members, capacity=self._draw.capacities, weights=self._draw.weights, name="members"
        )
        assert isinstance(made.function, Pool)
        return replace(made, function=WatchedPool(made.function, self._attempt))

    def _member(self, number: int) -> Agent[Any, Any]:
        name = f"m{number}"

        async def member(value: str, context: Context) -> Any:
            with self._call(name):
                if self._draw.is_down(number, self._loop.time(), self._agents.dependency):
                    self._agents.fired[Fault.MEMBER_DOWN] += 1
                    self._agents.tainted.add((self._index, value))
                    raise OSError(f"{name} is down")
                outputs = await self._agents.call_async(self._index, value, context)
                return self._give(outputs[0]) if outputs else None

        member.__annotations__["return"] = self._type
        return agent(name=name)(member)

    def _branches(self) -> Agent[Any, Any]:
        branches = [self._main(), *(self._side(i) for i in range(1, self._draw.branches))]

        def merge(value: str, given: str, first: str) -> Any:
            return self._joined(value, given, first)

        def merge_more(value: str, given: str, first: str, second: str) -> Any:
            return self._joined(value, given, first, second)

        join: Any = merge if len(branches) == 2 else merge_more
        join.__annotations__["return"] = self._type
        made: Agent[Any, Any] = parallel(*branches).join(join, name="branches")
        run = made.function

        async def watched(value: Any, context: Context | None = None) -> Any:
            return await self._attempt(run, value, context)

        return replace(made, function=watched)

    def _main(self) -> Agent[Any, Any]:
        async def main(value: str, context: Context) -> str:
            with self._call("b0"):
                outputs = await self._agents.call_async(self._index, value, context)
                return outputs[0] if outputs else ""

        return agent(name="b0")(main)

    def _side(self, number: int) -> Agent[Any, Any]:
        name = f"b{number}"

        async def side(value: str) -> str:
            with self._call(name):
                drawn = hashlib.blake2b(f"{name} {value}".encode(), digest_size=1).digest()[0]
                seconds = (0.0, 0.001, 0.05, self._timeout_seconds * 0.25)[drawn % 4]
                try:
                    await asyncio.sleep(seconds)
                except asyncio.CancelledError:
                    if drawn > 128:
                        await asyncio.sleep(_CLEANS_UP_SECONDS)
                    raise
                return f"{name} of {value}"

        return agent(name=name)(side)

    def _joined(self, value: str, given: str, *sides: str) -> Any:
        attempt = _ATTEMPT.get()
        attempt.joins += 1
        expected = [f"b{i} of {value}" for i in range(1, self._draw.branches)]
        outputs = self._agents.plan(self._index, value).outputs
        if list(sides) != expected or given != (outputs[0] if outputs else ""):
            self._complain(f"the join of {value!r} was given {given!r} and {sides}")
        return self._give(given) if given else None

    async def _attempt(
        self, run: Callable[..., Awaitable[Any]], value: str, context: Context | None
    ) -> Any:
        attempt = Attempt((self._index, value), self._loop.time())
        process, token = PROCESS.get(), _ATTEMPT.set(attempt)
        self._agents.at_work(process, attempt.place, 1)
        self._agents.watch.attempt_began(process, *attempt.place)
        self._look_later(attempt)
        joins = 0
        try:
            result = await run(value, context)
            joins = 0 if self._draw.capacities else 1
        except asyncio.CancelledError:
            self._note_wait(attempt)
            # An output that a part gives although it is cancelled does not count.
            is_stubborn = self._agents.plan(*attempt.place).fault is Fault.STUBBORN
            if is_stubborn or attempt.waited_seconds > _LONG_SHARE * self._timeout_seconds:
                self._agents.tainted.add(attempt.place)
            raise
        finally:
            attempt.has_ended = True
            self._agents.watch.attempt_ended(process, *attempt.place, None)
            self._agents.at_work(process, attempt.place, -1)
            _ATTEMPT.reset(token)
            self._agents.parts_checked["attempt"] += 1
            if attempt.running:
                self._complain(f"{attempt.running} go on after the attempt on {value!r}")
            if attempt.joins != joins:
                self._complain(
                    f"the attempt on {value!r} joined its branches {attempt.joins} times"
                )
        return result

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        attempt = _ATTEMPT.get()
        if attempt.has_ended:
            self._complain(f"{name} is called for {attempt.place} after the attempt has ended")
        if not attempt.running:
            self._note_wait(attempt)
        attempt.running.append(name)
        self._active[name] += 1
        self._changed_at = self._loop.time()
        if self._draw.capacities:
            self._check_call(name)
        try:
            yield
        except BaseException:
            self._note_failure(name)
            raise
        finally:
            attempt.running.remove(name)
            self._active[name] -= 1
            self._changed_at = attempt.idle_since = self._loop.time()
            self._look_later(attempt)

    def _note_wait(self, attempt: Attempt) -> None:
        now = self._loop.time()
        attempt.waited_seconds += now - attempt.idle_since
        attempt.idle_since = now

    def _check_call(self, name: str) -> None:
        capacity = self._draw.capacities[int(name[1:])]
        self._agents.parts_checked["capacity"] += 1
        if self._active[name] > capacity:
            self._complain(f"{name} has {self._active[name]} calls, over {capacity}")
        self._check_recovery(name)

    def _note_failure(self, name: str) -> None:
        """The member that was down fails again, for whatever reason: it is well again later."""
        down, now = self._draw.down, self._loop.time()
        if down is not None and name == f"m{down.member}" and now > self._failed_at:
            self._failed_at = now
            self._recovered.clear()

    def _check_recovery(self, name: str) -> None:
        draw = self._draw
        if draw.down is None or not draw.is_even:
            return
        if self._loop.time() < self._failed_at + _RECOVERED_SECONDS:
            return
        self._recovered[name] += 1
        self._agents.parts_checked["recovered"] += 1
        own = f"m{draw.down.member}"
        if self._recovered.total() >= _CALLS and not self._recovered[own]:
            self._complain(f"{own} is well again, and got none of {_CALLS} calls of its pool")

    def _look_later(self, attempt: Attempt) -> None:
        if self._draw.capacities and self._notices_time:
            self._loop.call_later(2 * _IDLE_SECONDS, self._look, attempt)

    def _look(self, attempt: Attempt) -> None:
        """An attempt may wait for a member only while the members have calls."""
        now = self._loop.time()
        if attempt.has_ended or attempt.running:
            return
        self._agents.parts_checked["wait for a member"] += 1
        since = max(attempt.idle_since, self._changed_at)
        if not self._active.total() and now - since >= _IDLE_SECONDS:
            self._complain(f"{attempt.place} waits for a member, and no member is called")
        self._look_later(attempt)

    def _complain(self, about: str) -> None:
        self._agents.complaints.append(f"{PROCESS.get()}, stage {self._index}: {about}")
