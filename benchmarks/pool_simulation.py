"""A pool at work on virtual time: calls arrive, members take their time, and some calls wait.

A discrete-event simulation: everything is drawn from a seed, so that every run is the same.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import quantiles

from streamapp.policies.balance import Balance, Call, Unavailable
from streamapp.policies.breaker import Breaker
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.member import Member, MemberConfig

NEVER_OPEN = BreakerConfig(
    error_rate=1.0,
    consecutive_failures=10**9,
    minimum_calls=10**9,
    window_calls=10**9,
    distinct_share=0.999,
)
"""So that the choice alone is compared."""

Choose = Callable[[float, Collection[Member]], Call | Unavailable]
Contender = Callable[[Sequence[Member], random.Random], Choose]


@dataclass(frozen=True, slots=True)
class Server:
    """How a member behaves.

    Attributes:
        seconds: median of the duration of its calls, by the time that they begin.
        fails: whether its calls fail, after that time.
        capacity: of the member.
    """

    seconds: Callable[[float], float]
    fails: bool = False
    capacity: int = 4


@dataclass(frozen=True, slots=True)
class Workload:
    """What a pool has to do.

    Attributes:
        servers: its members.
        calls_per_second: rate of arrivals, which are spread at random (Poisson).
        calls: how many arrive.
        sigma: spread of durations (log-normal).
    """

    servers: Sequence[Server]
    calls_per_second: float
    calls: int = 20_000
    sigma: float = 0.5


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        latencies: seconds from the arrival of a call to its result, waits and failures included.
        successes: by member.
        most_active: most calls that a member had at a time, by member.
    """

    latencies: list[float] = field(default_factory=list)
    successes: list[int] = field(default_factory=list)
    most_active: list[int] = field(default_factory=list)

    def p99_seconds(self) -> float:
        """Latency that one call in a hundred exceeds."""
        return quantiles(self.latencies, n=100)[98]


@dataclass(slots=True)
class _Attempt:
    arrived: float
    tried: set[Member] = field(default_factory=set)


class Simulation:
    """One run of a workload with one way to choose."""

    def __init__(self, workload: Workload, contender: Contender, seed: int) -> None:
        self._workload = workload
        # Draws of their own for arrivals, durations and the choice: contenders meet the same calls.
        self._arrivals = random.Random(f"arrivals {seed}")
        self._durations = random.Random(f"durations {seed}")
        self._members = [
            Member(
                MemberConfig(f"member {number}", server.capacity),
                Breaker(NEVER_OPEN, random.Random(seed)),
            )
            for number, server in enumerate(workload.servers)
        ]
        self._server_of = dict(zip(self._members, workload.servers, strict=True))
        self._choose = contender(self._members, random.Random(f"choice {seed}"))
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()
        self._waiting: deque[_Attempt] = deque()
        self._successes = dict.fromkeys(self._members, 0)
        self._most_active = dict.fromkeys(self._members, 0)
        self._latencies: list[float] = []

    def run(self) -> Outcome:
        """Run to the end of all calls."""
        at = 0.0
        for _ in range(self._workload.calls):
            at += self._arrivals.expovariate(self._workload.calls_per_second)
            self._at(at, self._arrive)
        while self._events:
            now, _, happen = heapq.heappop(self._events)
            happen(now)
        return Outcome(
            self._latencies, list(self._successes.values()), list(self._most_active.values())
        )

    def _at(self, at: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), happen))

    def _arrive(self, now: float) -> None:
        self._waiting.append(_Attempt(now))
        self._begin_calls(now)

    def _begin_calls(self, now: float) -> None:
        while self._waiting:
            attempt = self._waiting[0]
            call = self._choose(now, attempt.tried)
            if isinstance(call, Unavailable):
                return
            self._waiting.popleft()
            self._begin(call, attempt, now)

    def _begin(self, call: Call, attempt: _Attempt, now: float) -> None:
        member = call.member
        server = self._server_of[member]
        self._most_active[member] = max(self._most_active[member], member.active)
        seconds = server.seconds(now) * self._durations.lognormvariate(0.0, self._workload.sigma)
        self._at(now + seconds, lambda at: self._end(call, attempt, at))

    def _end(self, call: Call, attempt: _Attempt, now: float) -> None:
        if self._server_of[call.member].fails:
            call.failed(ConnectionError("refused"), now, None)
            attempt.tried.add(call.member)
            self._waiting.appendleft(attempt)
        else:
            call.succeeded(now)
            self._successes[call.member] += 1
            self._latencies.append(now - attempt.arrived)
        self._begin_calls(now)


def ours(members: Sequence[Member], _rng: random.Random) -> Choose:
    """The pool of streamapp."""
    return Balance(members).choose


def _by(rank: Callable[[Sequence[Member]], Member]) -> Contender:
    """A contender that picks one of the members with a free place that were not tried."""

    def contender(members: Sequence[Member], _rng: random.Random) -> Choose:
        return _chosen_by(members, rank)

    return contender


def _chosen_by(members: Sequence[Member], pick: Callable[[Sequence[Member]], Member]) -> Choose:
    turns = count(1)
    pool = Balance(members)

    def choose(now: float, exclude: Collection[Member]) -> Call | Unavailable:
        able = [one for one in members if not one.is_full and one not in exclude]
        if not able:
            return pool.choose(now, members)
        member = pick(able)
        permit = member.breaker.try_acquire(now)
        if permit is None:
            raise RuntimeError("the breakers of a simulation stay closed")
        member.begin(now, next(turns))
        return Call(member, permit, now)

    return choose


def round_robin(members: Sequence[Member], _rng: random.Random) -> Choose:
    """The one that was called longest ago."""
    return _chosen_by(members, lambda able: min(able, key=lambda one: one.turn))


def random_one(members: Sequence[Member], rng: random.Random) -> Choose:
    """Any."""
    return _chosen_by(members, rng.choice)


def best_of_two(members: Sequence[Member], rng: random.Random) -> Choose:
    """Of two random ones, the one with fewer active calls for its capacity."""

    def pick(able: Sequence[Member]) -> Member:
        return min(rng.sample(able, min(2, len(able))), key=_share_active)

    return _chosen_by(members, pick)


def least_active(members: Sequence[Member], _rng: random.Random) -> Choose:
    """The one with the fewest active calls for its capacity, then the one called longest ago."""
    return _chosen_by(
        members, lambda able: min(able, key=lambda one: (_share_active(one), one.turn))
    )


def _share_active(member: Member) -> float:
    return member.active / member.config.capacity


CONTENDERS: dict[str, Contender] = {
    "streamapp": ours,
    "round-robin": round_robin,
    "random": random_one,
    "best of two": best_of_two,
    "least active": least_active,
}
