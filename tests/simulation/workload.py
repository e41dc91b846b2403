"""The agents of a scenario, of which every outcome is known beforehand.

A value is a JSON string such as `"17.a0.b2"`: the number of a record, and for each stage which of
its outputs it is. What an agent does with a value follows from the seed and the value alone, so
the checker knows what must become of it without asking the runtime.
"""

import asyncio
import hashlib
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from tests.simulation.scenario import Scenario, StageDraw, keeps_its_records

SOURCE = "sim.source"
SINK = "sim.sink"

_ENDLESS = 1_000_000
_FOREVER_SECONDS = 1e9

_MOST_THREADS = 16
_JUST_SECONDS = 1.0

_BLOCK_SESSIONS = 1.5
"""How long an agent blocks its process, in sessions of its group."""

_WAITED_FOR_SECONDS = 5.0
"""An attempt that goes on for longer after it was cancelled is not waited for."""
_LATE = 0.5
_WAITING = (Fault.SLOW, Fault.STUBBORN)
_NOT_OF_VALUES = (Fault.UNDECODABLE, Fault.SLOW_THREAD)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an agent does with one value.

    Attributes:
        fault: how it fails; `None` if it never does.
        times: how many attempts fail, over all workers.
        seconds: how long an attempt waits.
        lingers: how long it continues after it was cancelled.
        fails_late: whether an attempt waits before it fails; otherwise it fails before it waits.
        outputs: its outputs in the end.
        may_fail: whether it can end as a failure for good.
        must_fail: whether it cannot end otherwise.
    """

    fault: Fault | None
    times: int
    seconds: float
    lingers: float
    fails_late: bool
    outputs: tuple[str, ...]
    may_fail: bool
    must_fail: bool


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
        on_attempt: called with the process, the stage and the context of each attempt.
        on_change: called with the process whenever an attempt begins or ends.
    """

    def __init__(self, scenario: Scenario, loop: VirtualLoop) -> None:
        self.scenario = scenario
        self.returned: Counter[tuple[int, str]] = Counter()
        self.failed: Counter[tuple[int, str]] = Counter()
        self.tainted: set[tuple[int, str]] = set()
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
        self.on_attempt: Callable[[str, int, Context], None] = lambda *_: None
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
        self.plan = cache(self._plan)
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

    def _plan(self, index: int, value: str) -> Plan:
        draw = self.scenario.stages[index]
        digest = hashlib.blake2b(
            f"{self.scenario.seed} {index} {value}".encode(), digest_size=20
        ).digest()
        parts = [int.from_bytes(digest[i : i + 4]) / 2**32 for i in range(0, 20, 4)]
        fault = self._fault(draw, parts[0])
        times = 1 + int(parts[1] * 3)
        fan_out = 0 if parts[2] < 0.1 else 1 + int(parts[2] * draw.fan_out)
        letter = "abc"[index]  # whatever stages are skipped, no two outputs have one name
        outputs = tuple(f"{value}.{letter}{i}" for i in range(min(fan_out, draw.fan_out)))
        seconds = (0.0, 0.0, 0.001, 0.05, draw.timeout_seconds * 0.3)[int(parts[3] * 5)]
        lingers = 0.0
        retries = draw.retries if draw.action is ErrorPolicy.RETRY else 0
        stops = draw.last_word is ErrorPolicy.STOP
        must_fail = False
        if fault in (Fault.PERMANENT, Fault.HOPELESS):
            if stops:
                times = 1 if fault is Fault.PERMANENT else retries + 1
            else:
                times, must_fail = _ENDLESS, True
        is_mended = fault is Fault.HOPELESS and draw.is_mended_in_the_end
        must_fail = must_fail and not is_mended
        if fault is Fault.SLOW:
            seconds = (draw.timeout_seconds * 2, _FOREVER_SECONDS)[int(parts[4] * 2)]
        if fault is Fault.STUBBORN:
            seconds, times = draw.timeout_seconds * 2, 1
            lingers = (0.2, 2.0, 8.0)[int(parts[4] * 3)]
        can_fail = fault in (Fault.TRANSIENT, *_WAITING)
        may_fail = must_fail or is_mended or (can_fail and times > retries and not stops)
        fails_late = parts[4] < _LATE and fault in (Fault.TRANSIENT, Fault.HOPELESS)
        return Plan(fault, times, seconds, lingers, fails_late, outputs, may_fail, must_fail)

    def _fault(self, draw: StageDraw, part: float) -> Fault | None:
        for fault, share in self.scenario.shares.items():
            if fault in _NOT_OF_VALUES or (fault in _WAITING and not draw.is_async):
                continue
            if part < share:
                return fault
            part -= share
        return None

    @contextmanager
    def _attempt(self, index: int, value: str, context: Context, plan: Plan) -> Iterator[None]:
        """Note the attempt, and check that it is the only one on its key."""
        process = PROCESS.get()
        head = self.head(index)
        if not self.scenario.stages[index].is_blocking:  # the others ended long ago in fact
            self.on_attempt(process, index, context)
        self.on_change(process)
        lane = self._lane(head, context)
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
        has_parts = self.scenario.stages[index].parts is not None
        self.watch.call_began(index, value, context)
        if not has_parts:
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
            if not has_parts:
                self.watch.attempt_ended(process, index, value, error)
            self.on_change(process)
            self.at_work(process, (index, value), -1)
            beside.remove(plan)

    def head(self, index: int) -> int:
        """First stage of the segment: its settings say which records wait for one another."""
        while self.scenario.stages[index].fused:
            index -= 1
        return index

    def _lane(self, head: int, context: Context) -> tuple[Any, ...] | None:
        ordering = self.scenario.stages[head].ordering
        if ordering == "unordered" or (ordering == "key" and context.key is None):
            return None
        return (context.partition, context.key if ordering == "key" else b"")

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
        too_long = plan.fault in _WAITING
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

    def _depend(self, index: int, value: str, context: Context, plan: Plan) -> None:
        """Fail if what the agent depends on is down."""
        error = self.dependency.error_for(index, context.key, value, self._loop.time())
        if error is None:
            return
        self.fired[Fault.DOWN] += 1
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
