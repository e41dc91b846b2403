"""`pool(small, large, capacity=(2, 8))`: agents that do the same work share it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, NoReturn, TypeVar
from weakref import WeakKeyDictionary

from streamapp.clock import Clock, current_clock
from streamapp.errors import AllMembersOpenError, PipelineError
from streamapp.observability.stage_metrics import MemberState
from streamapp.pipeline.agent import Agent, walk
from streamapp.pipeline.combinators.copies import copier_for
from streamapp.pipeline.combinators.notes import with_notes
from streamapp.pipeline.combinators.outages import Outages
from streamapp.pipeline.combinators.part import Part
from streamapp.pipeline.combinators.pool_members import PoolMembers
from streamapp.pipeline.combinators.tasks import Watch, gravest_of
from streamapp.pipeline.combinators.types import (
    all_capabilities,
    any_results,
    check_agents,
    common_input,
    common_output,
)
from streamapp.pipeline.context import Context
from streamapp.pipeline.signature import Shape
from streamapp.policies.balance import Call, Reason, Unavailable
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.member import Member, MemberConfig
from streamapp.randomness import current_random

InT = TypeVar("InT")
OutT = TypeVar("OutT")
T = TypeVar("T")

_ROUNDING_SECONDS = 0.001
"""Who waits for a probe is late by so much, since rounding could make them too early for it."""


def pool(
    *agents: Agent[InT, OutT],
    capacity: int | Sequence[int],
    weights: float | Sequence[float] = 1.0,
    calls_per_minute: int | Sequence[int | None] | None = None,
    breaker: BreakerConfig | None = None,
    name: str | None = None,
) -> Agent[InT, OutT]:
    """Make an agent that gives each value to one of several agents, the least busy one.

    The score of a member is (calls that run + 1) / (capacity x weight) x the duration to expect of
    a call, and is worse after failures; the lowest is called. A call that finds all members full,
    or at their limit a minute, waits for its turn. One that fails goes to another member within the
    same attempt, each once, unless it is the record's fault. Each member has a breaker: one that
    keeps failing is left out, and tried again with a record now and then.

    All settings are for each member in the order of the agents, or one for all.

    Args:
        agents: the members; each gives what the others give. Names are unique.
        capacity: most calls of a member at a time, in this process.
        weights: how much more work it gets than its capacity says; above 0.
        calls_per_minute: most calls of a member in any minute; `None`: any number.
        breaker: settings of the breakers, one for each member; `None`: the defaults.
        name: name of the agent; by default those of its members, joined by `-or-`.

    Raises:
        PipelineError: there is no member, two have one name, inputs or outputs do not fit one
            another, or a setting is out of its range.
    """
    if not agents:
        raise PipelineError("pool() was given no agent; give at least one member")
    check_agents("pool()", agents)
    name = name or "-or-".join(agent.name for agent in agents)
    where = f"pool {name!r}"
    configs = list(_configs(where, agents, capacity, weights, calls_per_minute))
    breaker = BreakerConfig() if breaker is None else breaker
    _check_members(where, configs, breaker)
    input_type = common_input(where, agents)
    return Agent(
        name=name,
        function=Pool(name, agents, configs, breaker, input_type),
        shape=Shape.ASYNC,
        takes_context=any(agent.takes_context for agent in agents),
        input_type=input_type,
        output_type=common_output(where, agents),
        capabilities=all_capabilities(agents),
        kind="pool",
        parts=agents,
        results=any_results(agents),
    )


def pools_of(agent: Agent[Any, Any]) -> Iterator["Pool"]:
    """The pools among an agent and its parts, each once."""
    found: list[Pool] = []
    for one in walk(agent):
        pool = one.function
        if isinstance(pool, Pool) and pool not in found:
            found.append(pool)
            yield pool


def named_pools(agent: Agent[Any, Any]) -> dict[str, Callable[[float], Sequence[MemberState]]]:
    """How to read the members of each of its pools in this run, at a time in monotonic seconds.

    Call it where the run's clock is in use. Of pools with one name, the second is `name-2`.
    """
    found: dict[str, Callable[[float], Sequence[MemberState]]] = {}
    for pool in pools_of(agent):
        names = (f"{pool.name}-{n}" if n > 1 else pool.name for n in count(1))
        found[next(name for name in names if name not in found)] = pool.members().states
    return found


class Pool:
    """The function of an agent that is a pool.

    What is known of its members belongs to a run: another event loop or clock begins anew.

    Attributes:
        name: name of the agent.
    """

    def __init__(
        self,
        name: str,
        agents: Sequence[Agent[Any, Any]],
        configs: Sequence[MemberConfig],
        breaker: BreakerConfig,
        input_type: Any,
    ) -> None:
        self.name = name
        self._parts = {agent.name: Part(agent) for agent in agents}
        self._configs = configs
        self._breaker = breaker
        self._copy_input = copier_for(input_type)
        self._outages = Outages(f"pool {name!r}", "another member answers")
        self._runs: WeakKeyDictionary[
            asyncio.AbstractEventLoop, WeakKeyDictionary[Clock, PoolMembers]
        ] = WeakKeyDictionary()

    def states(self) -> tuple[MemberState, ...]:
        """What is known of the members in the run that this code is part of."""
        return self.members().states(current_clock().monotonic())

    def members(self) -> PoolMembers:
        """The members in the run that this code is part of: its event loop and clock."""
        loop, clock = asyncio.get_running_loop(), current_clock()
        of_loop = self._runs.get(loop)
        if of_loop is None:
            of_loop = self._runs[loop] = WeakKeyDictionary()
        members = of_loop.get(clock)
        if members is None:
            members = PoolMembers(self.name, self._configs, self._breaker, current_random())
            of_loop[clock] = members
        return members

    async def __call__(self, value: Any, context: Context | None = None) -> Any:
        """Call a member, and another one if it fails."""
        watch, members = Watch(), self.members()
        tried: list[Member] = []
        failures: list[tuple[str, Exception]] = []
        while True:
            is_last = len(tried) == len(self._parts) - 1
            given = value if is_last else self._copy_input(value)
            call = await members.queue.begin_call(tuple(tried))
            if isinstance(call, Unavailable):
                self._raise(call, failures)
            part = self._parts[call.member.config.name]
            try:
                result = await part.result(given, context)
                part.check_types(result)
            except BaseException as raised:  # noqa: BLE001 - an agent may raise anything
                error = self._failed(call, watch, raised, value)
                if whose_fault(gravest_of(error)) is Fault.RECORD:
                    raise error from (None if error is raised else raised)
                tried.append(call.member)
                failures.append((part.name, error))
            else:
                call.succeeded(current_clock().monotonic())
                self._tell_made_good(failures)
                return result
            finally:
                members.end(call)

    def _failed(self, call: Call, watch: Watch, raised: BaseException, value: Any) -> Exception:
        """What a member raised, once it is told; the cancellation of the attempt goes on.

        Raises:
            BaseException: it is no failure of the member.
        """
        error = watch.failure(raised, call.member.config.name)
        blamed = gravest_of(error)
        key = _key_of(value) if whose_fault(blamed) is Fault.UNKNOWN else None
        call.failed(blamed, current_clock().monotonic(), key)
        return error

    def _tell_made_good(self, failures: Sequence[tuple[str, Exception]]) -> None:
        for name, error in failures:
            self._outages.tell(name, error)

    def _raise(self, why: Unavailable, failures: Sequence[tuple[str, Exception]]) -> NoReturn:
        where = f"pool {self.name!r}"
        if why.reason is Reason.OPEN:
            now = current_clock().monotonic()
            seconds = 0.0 if why.until is None else max(0.0, why.until - now)
            raise AllMembersOpenError(
                f"{where}: the breakers of all members are open; the next probe is in"
                f" {seconds:.1f} s",
                retry_after=seconds + _ROUNDING_SECONDS,
            ) from (failures[-1][1] if failures else None)
        raise with_notes(where, failures)


def _key_of(value: Any) -> int:
    """What tells records apart for the rule of distinct keys, where no record is known."""
    try:
        return hash(repr(value))
    except Exception:  # noqa: BLE001 - a user's own `__repr__`
        return id(value)


def _configs(
    where: str,
    agents: Sequence[Agent[Any, Any]],
    capacity: int | Sequence[int],
    weights: float | Sequence[float],
    calls_per_minute: int | Sequence[int | None] | None,
) -> Iterator[MemberConfig]:
    count = len(agents)
    settings = zip(
        agents,
        _for_each(where, "capacity", capacity, count),
        _for_each(where, "weights", weights, count),
        _for_each(where, "calls_per_minute", calls_per_minute, count),
        strict=True,
    )
    for agent, most, weight, limit in settings:
        try:
            yield MemberConfig(agent.name, most, weight, limit)
        except ValueError as error:
            raise PipelineError(str(error)) from None


def _for_each(where: str, setting: str, given: T | Sequence[T], count: int) -> Sequence[T]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        return [given] * count
    if len(given) != count:
        raise PipelineError(
            f"{where}: {setting} has {len(given)} values for {count} members; give one for each, or"
            " one for all"
        )
    return given


def _check_members(where: str, configs: Sequence[MemberConfig], breaker: BreakerConfig) -> None:
    if not isinstance(breaker, BreakerConfig):
        raise PipelineError(f"{where}: breaker is {breaker!r}; give a BreakerConfig")
    try:
        PoolMembers(where, configs, breaker, current_random())
    except ValueError as error:
        raise PipelineError(str(error)) from None
