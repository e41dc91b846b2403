"""The agents of a scenario, of which every outcome is known beforehand.

A value is a JSON string such as `"17.a0.b2"`: the number of a record, and for each stage which of
its outputs it is. What an agent does with a value follows from the seed and the value alone, so
the checker knows what must become of it without asking the runtime.
"""

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import inf
from typing import Any, Protocol

from streamapp.errors import Permanent, Transient
from streamapp.pipeline.context import Context
from streamapp.pipeline.threads import _Call
from streamapp.policies.policy import ErrorPolicy
from streamapp.record import Headers
from tests.simulation.dependency import Dependency
from tests.simulation.faults import Fault
from tests.simulation.loop import EPOCH_SECONDS, PROCESS, VirtualLoop
from tests.simulation.plans import WAITING, Plan, Plans
from tests.simulation.scenario import Scenario
from tests.simulation.stage_draw import keeps_its_records

SINK = "sim.sink"

_MOST_THREADS = 16
_JUST_SECONDS = 1.0

_BLOCK_SESSIONS = 1.5
"""How long an agent blocks its process, in sessions of its group."""

_WAITED_FOR_SECONDS = 5.0
"""An attempt that goes on for longer after it was cancelled is not waited for."""


class AttemptWatch(Protocol):
    """Is told of each attempt, and of each call of what does the work.

    These are one and the same, but where the agent of a stage is made of others: an attempt of a
    pool may call several of its members, one after the other.
    """

    def attempt_began(self, process: str, stage: int, value: str) -> None:
        """An attempt begins."""

    def attempt_ended(
        self, process: str, stage: int, value: str, error: BaseException | None
    ) -> None:
        """An attempt has ended, perhaps with an error."""

    def call_began(self, stage: int, value: str, context: Context) -> None:
        """A call begins."""

    def call_ended(self, process: str, stage: int, value: str, error: BaseException | None) -> None:
        """A call has ended, perhaps with an error."""


class _Unwatched:
    def attempt_began(self, process: str, stage: int, value: str) -> None:
        pass

    def attempt_ended(
        self, process: str, stage: int, value: str, error: BaseException | None
    ) -> None:
        pass

    def call_began(self, stage: int, value: str, context: Context) -> None:
        pass

    def call_ended(self, process: str, stage: int, value: str, error: BaseException | None) -> None:
        pass


class Agents:
    """The agents of one run, and what they have seen.

    Attributes:
        returned, failed: attempts that ended, by stage and value.
        was_down: attempts that failed because what they depend on was down.
        waited: values that stand in a retry topic.
        tainted: attempts that took too long because of an outside fault, so their record may fail.
        complaints: broken promises to agents.
        fired: faults of agents that happened.
        overlaps_checked: attempts that had to be the only one on their key.
        in_threads: values that a thread was asked to work on; one that is cancelled may not begin.
        failed_at: when attempts failed, by stage and value, in seconds since the epoch.
        ended_empty_at: when an attempt without an output ended, by process and segment.
        blocks: whether the record of the scenario that blocks still does so.
        blocked: how often it has done so, by process.
        blocked_until: when that ended the last time; infinity while it lasts.
        dependency: what the agents depend on.
        watch: told of each attempt and call.
        parts_checked: how often each promise to parts of agents was checked.
        loop: tells the time.
        on_attempt: called with the process, the stage, the value and the context of each
            attempt.
        on_change: called with the process whenever an attempt begins or ends.
    """

    def __init__(self, scenario: Scenario, loop: VirtualLoop) -> None:
        self.scenario = scenario
        self.returned: Counter[tuple[int, str]] = Counter()
        self.failed: Counter[tuple[int, str]] = Counter()
        self.tainted: set[tuple[int, str]] = set()
        self.was_down: set[tuple[int, str]] = set()
        self.waited: set[str] = set()
        self.complaints: list[str] = []
        self.fired: Counter[Fault] = Counter()
        self.started: Counter[tuple[int, str]] = Counter()
        self.overlaps_checked = 0
        self.in_threads: set[str] = set()
        self.failed_at: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
        self.ended_empty_at: dict[tuple[str, int], float] = {}
        self.blocks = scenario.blocks is not None
        self.blocked: Counter[str] = Counter()
        self.blocked_until: dict[str, float] = {}
        self.on_attempt: Callable[[str, int, str, Context], None] = lambda *_: None
        self.on_change: Callable[[str], None] = lambda _: None
        self.dependency = Dependency(scenario.downtime)
        self.watch: AttemptWatch = _Unwatched()
        self.parts_checked: Counter[str] = Counter()
        self.loop = self._loop = loop
        self._rng = random.Random(f"threads {scenario.seed}")
        self._running: dict[tuple[Any, ...], list[Plan]] = {}
        self._threads: defaultdict[str, deque[tuple[float, str]]] = defaultdict(
            lambda: deque(maxlen=_MOST_THREADS)
        )
        self._long_threads: set[str] = set()
        self._attempts: dict[str, dict[tuple[int, str], int]] = {}
        self.plan = cache(Plans(scenario).plan)
        loop.thread_seconds = self._thread_seconds

    def running(self, process: str) -> list[tuple[int, str]]:
        """Values on which agents of this process are working."""
        now = self._loop.time()
        # Its lane may not have noticed yet that an attempt has ended.
        in_threads = [v for until, v in self._threads[process] if until >= now - _JUST_SECONDS]
        in_tasks = [value for value, count in self._attempts.get(process, {}).items() if count]
        return in_tasks + [(i, v) for i in range(len(self.scenario.stages)) for v in in_threads]

    def at_work(self, process: str, place: tuple[int, str], change: int) -> None:
        """Note how many more, or fewer, attempts a process makes on a value in a stage."""
        own = self._attempts.setdefault(process, {})
        own[place] = own.get(place, 0) + change

    def _thread_seconds(self, arguments: tuple[Any, ...]) -> float:
        """How long a blocking attempt takes; if that is too long, it may fail for good."""
        [call] = arguments
        assert isinstance(call, _Call)
        value = call._args[0]
        self.in_threads.add(value)
        seconds = self._rng.uniform(0.0, 0.02)
        if self._rng.random() < self.scenario.shares.get(Fault.SLOW_THREAD, 0.0):
            self.fired[Fault.SLOW_THREAD] += 1
            self.tainted.update((index, value) for index in range(len(self.scenario.stages)))
            seconds = self._rng.uniform(1.0, 6.0)
        if seconds > _WAITED_FOR_SECONDS:
            self._long_threads.add(value)
        self._threads[PROCESS.get()].append((self._loop.time() + seconds, value))
        return seconds

    @contextmanager
    def _attempt(self, index: int, value: str, context: Context, plan: Plan) -> Iterator[None]:
        """Note the attempt, and check that it is the only one on its key."""
        process = PROCESS.get()
        head = self.head(index)
        if not self.scenario.stages[index].is_blocking:  # the others ended long ago in fact
            self.on_attempt(process, index, value, context)
        self.on_change(process)
        lane = None if self._has_waited(value) else self._lane(head, context)
        beside = self._running.setdefault((process, head, *lane), []) if lane else []
        if lane:
            self.overlaps_checked += 1
            lingers = max(p.lingers for p in (*beside, plan))
            is_waited_for = lingers <= _WAITED_FOR_SECONDS and value not in self._long_threads
            if beside and is_waited_for:
                self.complaints.append(
                    f"two attempts at once on {lane} in {process}, one of them on {value}"
                )
        beside.append(plan)
        self.at_work(process, (index, value), 1)
        self.started[index, value] += 1
        is_told_apart = self.scenario.stages[index].is_told_apart
        self.watch.call_began(index, value, context)
        if not is_told_apart:
            self.watch.attempt_began(process, index, value)
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:  # cancelled is failed: by a timeout, most often
            error = raised
            self.failed[index, value] += 1
            self.failed_at[index, value].append(EPOCH_SECONDS + self._loop.time())
            if self.scenario.stages[index].last_word is ErrorPolicy.DROP:
                self.ended_empty_at[process, head] = self._loop.time()
            raise
        else:
            self.returned[index, value] += 1
            if not plan.outputs:
                self.ended_empty_at[process, head] = self._loop.time()
        finally:
            self.watch.call_ended(process, index, value, error)
            if not is_told_apart:
                self.watch.attempt_ended(process, index, value, error)
            self.on_change(process)
            self.at_work(process, (index, value), -1)
            beside.remove(plan)

    def head(self, index: int) -> int:
        """First stage of the segment: its settings say which records wait for one another."""
        while self.scenario.stages[index].fused:
            index -= 1
        return index

    def may_wait(self, index: int, value: str) -> bool:
        """Whether a value may have to wait in a retry topic of a stage."""
        if not self.scenario.stages[index].delays:
            return False
        place = index, value
        return self.plan(*place).may_wait or place in self.tainted or place in self.was_down

    def _has_waited(self, value: str) -> bool:
        """Whether a value may come from a retry topic: its record waits for no other then."""
        if not self.waited:
            return False
        words = value.split(".")
        return any(".".join(words[:n]) in self.waited for n in range(1, len(words) + 1))

    def _lane(self, head: int, context: Context) -> tuple[Any, ...] | None:
        ordering = self.scenario.stages[head].ordering
        if ordering == "unordered" or (ordering == "key" and context.key is None):
            return None
        return (context.topic, context.partition, context.key if ordering == "key" else b"")

    def _begin(self, index: int, value: str, plan: Plan) -> None:
        """The part of an attempt before it waits."""
        fault = plan.fault
        if self.blocks and (index, value) == (0, str(self.scenario.blocks)):
            self._block()
        if fault is Fault.BURN:
            self.fired[fault] += 1
            self._loop.burn(0.02)
        if fault is None or self.started[index, value] > plan.times:
            return
        is_mended = self.scenario.stages[index].is_mended_in_the_end and self.dependency.is_mended
        if fault is Fault.HOPELESS and is_mended:
            return
        if fault in (Fault.TRANSIENT, Fault.HOPELESS):
            self.fired[fault] += 1
            raise (Transient, OSError, KeyError)[self.started[index, value] % 3](value)
        if fault is Fault.PERMANENT:
            self.fired[fault] += 1
            raise Permanent(value)

    def _block(self) -> None:
        """Send no heartbeat for too long; other attempts of this process may take too long then."""
        process = PROCESS.get()
        self.fired[Fault.BLOCK] += 1
        self.blocked[process] += 1
        self.tainted.update(self.running(process))
        self.blocked_until[process] = inf
        self._loop.block(_BLOCK_SESSIONS * self.scenario.session_seconds)
        self.blocked_until[process] = self._loop.time()

    async def _wait(self, index: int, value: str, plan: Plan) -> None:
        too_long = plan.fault in WAITING
        if too_long and self.started[index, value] > plan.times:
            return
        if too_long and plan.fault is not None:
            self.fired[plan.fault] += 1
        try:
            if plan.seconds:
                await asyncio.sleep(plan.seconds)
        except asyncio.CancelledError:
            if plan.fault is not Fault.STUBBORN:
                raise
            await self._linger(plan.lingers)
            if plan.lingers > 1:
                raise OSError(value) from None

    async def _linger(self, seconds: float) -> None:
        """Continue for so long, even if cancelled."""
        end = self._loop.time() + seconds
        while (left := end - self._loop.time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue

    def call(self, index: int, value: str, context: Context) -> tuple[str, ...]:
        plan = self.plan(index, value)
        with self._attempt(index, value, context, plan):
            self._depend(index, value, context, plan)
            self._begin(index, value, plan)
            return plan.outputs

    async def call_async(self, index: int, value: str, context: Context) -> tuple[str, ...]:
        plan = self.plan(index, value)
        with self._attempt(index, value, context, plan):
            self._depend(index, value, context, plan)
            if plan.fails_late:
                await self._wait(index, value, plan)
                self._begin(index, value, plan)
            else:
                self._begin(index, value, plan)
                await self._wait(index, value, plan)
            self._depend(index, value, context, plan)  # nothing succeeds during an outage
            return plan.outputs

    def error_at_end(self, index: int, value: str, context: Context) -> Exception | None:
        """Why a value fails that has a result when its batch ends; `None` if it does not.

        Nothing succeeds during an outage, so no neighbour says that it is over.
        """
        try:
            self._depend(index, value, context, self.plan(index, value))
        except Exception as error:  # noqa: BLE001 - whatever it raises is the failure
            self.failed[index, value] += 1
            self.failed_at[index, value].append(EPOCH_SECONDS + self._loop.time())
            self.watch.call_ended(PROCESS.get(), index, value, error)
            return error
        return None

    def _depend(self, index: int, value: str, context: Context, plan: Plan) -> None:
        """Fail if what the agent depends on is down."""
        error = self.dependency.error_for(index, context.key, value, self._loop.time())
        if error is None:
            return
        self.fired[Fault.DOWN] += 1
        self.was_down.add((index, value))
        down, draw = self.scenario.downtime, self.scenario.stages[index]
        assert down is not None
        # A record that has failed before, while others succeeded, may be given up all the same.
        is_kept = down.is_told and keeps_its_records(draw) and plan.fault in (None, Fault.BURN)
        if draw.parts is not None and draw.parts.branches:
            is_kept = False  # another branch may let one succeed that began before the outage
        if not is_kept:
            self.tainted.add((index, value))
        raise error

    def headers_of(self, index: int, output: str, given: Headers) -> Headers:
        """Headers of an output of a stage whose input has the given ones."""
        if not self.scenario.stages[index].gives_headers:
            return given
        return (("by", b"s%d" % index), ("of", output.encode()))
