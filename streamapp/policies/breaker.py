"""A circuit breaker: it sees that the world is down, and probes until it is back.

While it is open nothing is called but a probe now and then, and records are held.

```
closed ──a rule of BreakerConfig──> open ──the wait is over──> half-open
   ^                                 ^                          │    │
   │                                 └──────a probe fails───────┘    │
   └───────────────successes_to_close probes succeed─────────────────┘
```
"""

import random
from collections.abc import Collection, Hashable
from enum import IntEnum

from streamapp.errors import AllMembersOpenError
from streamapp.observability.stage_metrics import BreakerState
from streamapp.policies.breaker_cause import Cause, Rule
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.distinct_keys import DistinctKeys
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.given_back import GivenBack
from streamapp.policies.retry_after import retry_after_seconds
from streamapp.policies.window import Window

_CHANCE = 2e-7
"""A run of failures that is less likely than this is no chance: at 10,000 calls a second, chance
alone makes such a run at most once in eight minutes."""


class _Kind(IntEnum):
    """What the window counts."""

    SUCCESS = 0  # that was not slow
    SLOW = 1  # a success that was
    WORLD = 2
    UNKNOWN = 3
    RECORD = 4


class Permit(GivenBack):
    """Leave to call, whose outcome is told to it.

    The permit of a closed breaker is shared: one is enough for all calls of a while, and it is told
    an outcome for each. That of a probe is for one call and takes one outcome. An outcome counts
    for nothing once the breaker has changed its state, as a call may end long after it began.

    A probe whose call ends without an outcome gives its place back by `released`: do so in a
    `finally`, or use the permit in a `with`. It does nothing after an outcome.

    Attributes:
        generation: number of the change of state after which it was given.
        is_probe: whether it is for one call only.
    """

    __slots__ = ("_breaker", "generation", "is_probe")

    def __init__(self, breaker: "Breaker", generation: int, *, is_probe: bool) -> None:
        self._breaker = breaker
        self.generation = generation
        self.is_probe = is_probe

    def succeeded(self, now: float, duration_seconds: float = 0.0, key: Hashable = None) -> None:
        """Tell of a success; with a key if `Breaker.wants_keys`, `None` if it is not known."""
        slow_seconds = self._breaker.config.slow_seconds
        slow = slow_seconds is not None and duration_seconds >= slow_seconds
        self._breaker._succeeded(self, 1, now, int(slow), () if key is None else (key,))  # noqa: SLF001 - the permit is the breaker's own

    def succeeded_many(
        self, count: int, now: float, *, slow: int = 0, keys: Collection[Hashable] = ()
    ) -> None:
        """Tell of `count` successes in a row, `slow` of which were slow.

        The keys are wanted only if `Breaker.wants_keys`. Without them each success counts as a key
        of its own, which delays the rule of distinct keys while few keys succeed often, and never
        makes it hold too soon.
        """
        self._breaker._succeeded(self, count, now, slow, keys)  # noqa: SLF001 - the same

    def failed(self, error: Exception, now: float, key: Hashable) -> None:
        """Tell of a failure, after the successes that came before it.

        Args:
            error: of a group, the gravest. Its `retry_after`, a number of seconds or a `timedelta`,
                lengthens the wait before the next probe.
            now: when it failed.
            key: the record's key, or its partition and offset if it has none.
        """
        self._breaker._failed(self, error, now, key)  # noqa: SLF001 - the same

    def released(self) -> None:
        """Give a probe's place back if its call had no outcome, such as one that was cancelled."""
        self._breaker._released(self)  # noqa: SLF001 - the same


class Breaker:
    """A breaker of one stage or one agent; pure: the caller tells it the time.

    All times are seconds on a clock that never goes back.

    Args:
        config: its settings.
        rng: spreads the probes of workers that opened together.

    Attributes:
        config: its settings.
        closed: whether every call may be made, for the hot loop to read.
        state: what it lets through.
        cause: why it is not closed, else `None`.
        opened_at: since when it has not been closed, else `None`.
        next_probe_at: when a probe may begin, else `None`; in the past if it may begin now.
        times_opened: how often it left the state closed.
        probes: how many probes were given out.
    """

    __slots__ = (
        "_consecutive",
        "_generation",
        "_keys",
        "_made_good",
        "_probe",
        "_rng",
        "_shared",
        "_successes",
        "_waits",
        "_waits_in_row",
        "_window",
        "cause",
        "closed",
        "config",
        "next_probe_at",
        "opened_at",
        "probes",
        "state",
        "times_opened",
    )

    def __init__(self, config: BreakerConfig, rng: random.Random) -> None:
        self.config = config
        self.cause: Cause | None = None
        self.opened_at: float | None = None
        self.next_probe_at: float | None = None
        self.times_opened = 0
        self.probes = 0
        self._rng = rng
        self._waits = config.waits
        self._window = Window(len(_Kind), config.window_seconds, config.window_calls)
        self._keys = DistinctKeys(config.window_seconds)
        self._generation = 0
        self._successes = 0
        self._made_good = False
        self._shared: Permit | None = None
        self._probe: Permit | None = None
        self._close()

    @property
    def wants_keys(self) -> bool:
        """Whether the keys of successes matter: only while some keys fail with unknown errors."""
        return self._keys.failing > 0

    @property
    def is_probing(self) -> bool:
        """Whether a probe was given out whose outcome is not known yet."""
        return self._probe is not None

    @property
    def wants_failed_key(self) -> bool:
        """Whether the next probe is to be of a key that has failed.

        Enough probes have succeeded to close it, but none was of a key that had failed, and more
        keys are known to fail than to succeed: while failing records are held, later ones of their
        keys cannot be tried, so all that can may be of the keys that never failed.
        """
        return not self.closed and self._successes >= self.config.successes_to_close

    def may_call(self, now: float) -> bool:
        """Whether `try_acquire` would give a permit."""
        if self.next_probe_at is None:
            return True
        return self._probe is None and now >= self.next_probe_at

    def try_acquire(self, now: float) -> Permit | None:
        """A permit for a call, or `None`: hold the record, or call another agent.

        A breaker that is not closed gives one probe at a time, from `next_probe_at` on. A probe
        that ends with an unknown error says nothing about the world, unless unknown errors opened
        the breaker: then let records of other keys be the next probes, or one bad record holds it
        open.
        """
        if self._shared is not None:
            return self._shared
        if not self.may_call(now):
            return None
        if self.state is BreakerState.OPEN:
            self._change(BreakerState.HALF_OPEN)
        self.probes += 1
        self._probe = Permit(self, self._generation, is_probe=True)
        return self._probe

    def close(self) -> None:
        """Close it, since a call succeeded that was made although it was open."""
        self._probe = None
        self._close()

    def holds(self, error: Exception) -> bool:
        """Whether a record that failed so is held now, and this was no attempt of its own.

        Otherwise its policy decides, as for a failure that is the record's own fault.
        """
        return self.cause is not None and self.cause.blames(whose_fault(error))

    def counts(self, now: float) -> dict[str, int]:
        """Calls in the window: success, slow (a success too), world, unknown, record."""
        totals = self._window.totals(now)
        return {kind.name.lower(): totals[kind] for kind in _Kind}

    def _succeeded(
        self, permit: Permit, count: int, now: float, slow: int, keys: Collection[Hashable]
    ) -> None:
        if permit is self._probe:
            self._probe_succeeded(now, slow, keys)
        elif permit is self._shared and count:
            self._consecutive = 0
            self._window.add(_Kind.SUCCESS, now, count - slow)
            if keys:
                for key in keys:
                    self._keys.see(key, now, failed=False)
            else:
                self._keys.see_successes(count, now)
            if slow:
                self._window.add(_Kind.SLOW, now, slow)
                self._look_at_slow(now)

    def _probe_succeeded(self, now: float, slow: int, keys: Collection[Hashable]) -> None:
        self._probe = None
        if slow and self.cause is not None and self.cause.rule is Rule.SLOW_RATE:
            self._open(Cause(Rule.SLOW_RATE), now)
            return
        self._successes += 1
        if self._is_about_keys():
            self._see_good_probe(keys)
        if self._successes >= self.config.successes_to_close and not self._most_keys_may_fail():
            self._close()

    def _is_about_keys(self) -> bool:
        """Whether it is open because most keys failed; what was seen of them is kept until then."""
        return self.cause is not None and self.cause.rule is Rule.DISTINCT_KEYS

    def _most_keys_may_fail(self) -> bool:
        return self._is_about_keys() and not self._made_good and self._most_keys_fail()

    def _see_good_probe(self, keys: Collection[Hashable]) -> None:
        failing = self._keys.failing
        for key in keys:
            self._see_probe(key, failed=False)
        # One that is not told may have failed before.
        self._made_good |= self._keys.failing < failing or not keys

    def _see_probe(self, key: Hashable, *, failed: bool) -> None:
        # No key is forgotten with time: hardly any is tried meanwhile.
        self._keys.see(key, self.opened_at or 0.0, failed=failed)

    def _most_keys_fail(self) -> bool:
        return self._keys.failing > self.config.distinct_share * self._keys.distinct

    def _failed(self, permit: Permit, error: Exception, now: float, key: Hashable) -> None:
        fault = whose_fault(error)
        if permit is self._probe:
            self._probe = None
            if self.cause is not None and self.cause.blames(fault):
                if self._is_about_keys():
                    self._see_probe(key, failed=True)
                self._open(Cause(self.cause.rule, type(error).__name__), now, error)
                return
        elif permit is self._shared:
            self._count(fault, now)
        else:
            return
        if fault is Fault.UNKNOWN:
            self._keys.see(key, now, failed=True)
        if isinstance(error, AllMembersOpenError):
            rule: Rule | None = Rule.ALL_MEMBERS_OPEN
        else:
            rule = self._broken_rule(fault, now)
        if rule is not None:
            self._open(Cause(rule, type(error).__name__), now, error)

    def _released(self, permit: Permit) -> None:
        if permit is self._probe:
            self._probe = None

    def _count(self, fault: Fault, now: float) -> None:
        self._window.add(_Kind[fault.name], now)
        if fault is Fault.WORLD:
            self._consecutive += 1

    def _broken_rule(self, fault: Fault, now: float) -> Rule | None:
        """The rule that a failure of this kind broke, if any."""
        config, totals = self.config, self._window.totals(now)
        calls = sum(totals) - totals[_Kind.RECORD]
        if fault is Fault.UNKNOWN:
            enough = self._keys.distinct >= config.distinct_keys
            return Rule.DISTINCT_KEYS if enough and self._most_keys_fail() else None
        if fault is Fault.RECORD:
            bad = self._exceeds(totals[_Kind.RECORD], sum(totals), config.validation_rate)
            return Rule.VALIDATION_RATE if bad else None
        if self._consecutive >= config.consecutive_failures and not self._is_by_chance(
            totals[_Kind.WORLD], calls
        ):
            return Rule.CONSECUTIVE_FAILURES
        bad = self._exceeds(totals[_Kind.WORLD], calls, config.error_rate)
        return Rule.ERROR_RATE if bad else None

    def _is_by_chance(self, failures: int, calls: int) -> bool:
        """Whether a run of failures so long is to be expected, as the calls before it failed.

        Where one call in seven fails, four in a row do so every few thousand calls.
        """
        before, failed = calls - self._consecutive, max(0, failures - self._consecutive)
        if before < self.config.minimum_calls:
            return False  # too few to know how often calls fail
        rate = (failed + 1) / (before + 2)
        return bool(rate**self._consecutive > _CHANCE)

    def _look_at_slow(self, now: float) -> None:
        totals = self._window.totals(now)
        slow, successes = totals[_Kind.SLOW], totals[_Kind.SUCCESS] + totals[_Kind.SLOW]
        if self._exceeds(slow, successes, self.config.slow_rate):
            self._open(Cause(Rule.SLOW_RATE), now)

    def _exceeds(self, count: int, calls: int, rate: float | None) -> bool:
        return rate is not None and calls >= self.config.minimum_calls and count >= rate * calls

    def _open(self, cause: Cause, now: float, error: Exception | None = None) -> None:
        self._change(BreakerState.OPEN)
        self.cause = cause
        if not self._is_about_keys():
            self._keys.clear()
        self._shared = None
        if self.opened_at is None:
            self.opened_at = now
            self.times_opened += 1
        self._successes = 0
        self._made_good = False
        self._waits_in_row += 1
        self.next_probe_at = now + self._wait_seconds(error)

    def _wait_seconds(self, error: Exception | None) -> float:
        """Drawn from the upper half of its range, or up to a tenth longer than the error asks."""
        spread = self._rng.random()
        own = self._waits.late_delay_seconds(self._waits_in_row, spread)
        asked = retry_after_seconds(error) if error is not None else 0.0
        return max(own, asked * (1 + spread / 10))

    def _close(self) -> None:
        self._change(BreakerState.CLOSED)
        self._shared = Permit(self, self._generation, is_probe=False)
        self.cause = None
        self.opened_at = None
        self.next_probe_at = None
        self._waits_in_row = 0
        self._keys.clear()

    def _change(self, state: BreakerState) -> None:
        """Begin a generation; calls that were counted before count for nothing in it."""
        self.state = state
        self.closed = state is BreakerState.CLOSED
        self._generation += 1
        if state is not BreakerState.HALF_OPEN:
            self._consecutive = 0
            self._window.clear()
