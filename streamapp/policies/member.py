"""A member of a pool: one of several agents that can do the same work."""

import math
from dataclasses import dataclass

from streamapp.observability.stage_metrics import MemberState
from streamapp.policies.breaker import Breaker
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.window import Window

DECAY_SECONDS = 10.0
"""Time constant with which durations, penalties and what is known of an idle member fade."""

PENALTY = 10.0
"""How many times longer a call of a member seems that has just failed again and again."""

_FORGOTTEN = 0.01
"""When less than this share is left of a duration or a penalty, nothing is: after 46 s.

Where calls take no time, or one follows another, a rest of either, however small, would lose every
tie: for minutes, until it is lost in rounding.
"""


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """Settings of a member of a pool.

    Attributes:
        name: unique in its pool.
        capacity: most calls at a time.
        weight: how much more work it gets than its capacity says; above 0.
        calls_per_minute: most calls in any minute; `None`: any number.

    Raises:
        ValueError: a value is out of its range.
    """

    name: str
    capacity: int = 1
    weight: float = 1.0
    calls_per_minute: int | None = None

    def __post_init__(self) -> None:
        self._check_count("capacity", self.capacity)
        if self.calls_per_minute is not None:
            self._check_count("calls_per_minute", self.calls_per_minute)
        self._check_weight(self.weight)

    def _check_weight(self, value: object) -> None:
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ValueError(
                f"pool: weight of {self.name} must be above 0 and finite, not {value!r}"
            )

    def _check_count(self, setting: str, value: object) -> None:
        if type(value) is not int or value < 1:
            raise ValueError(
                f"pool: {setting} of {self.name} must be a whole number of at least 1, not"
                f" {value!r}"
            )


class Member:
    """A member at work: how many calls it has, and what is known of their duration.

    Attributes:
        config: its settings.
        breaker: its breaker.
        active: calls that run now.
        calls: how many began.
        failures: how many raised, through whoever's fault.
        duration_seconds: peak-EWMA of the duration of successful calls (Finagle's): a longer call
            counts at once, shorter ones by and by; `None` before the first success.
        turn: when it was chosen last, as a number; of equal members the one that was chosen longest
            ago is next.
    """

    __slots__ = (
        "_changed_at",
        "_limit",
        "_penalised_at",
        "_penalty",
        "active",
        "breaker",
        "calls",
        "config",
        "duration_seconds",
        "failures",
        "turn",
    )

    def __init__(self, config: MemberConfig, breaker: Breaker) -> None:
        self.config = config
        self.breaker = breaker
        self.active = self.calls = self.failures = 0
        self.duration_seconds: float | None = None
        self.turn = 0
        # Ours, not pyrate-limiter: the window is here already, needs no clock of its own, and is
        # asked before a call whether it would be allowed.
        self._limit = Window(1, 60.0)
        self._changed_at = 0.0
        self._penalty = 0.0
        self._penalised_at = 0.0

    @property
    def is_full(self) -> bool:
        """Whether it has as many calls as its capacity."""
        return self.active >= self.config.capacity

    def limited_until(self, now: float) -> float | None:
        """When its calls a minute allow another; `None` if they do now."""
        most = self.config.calls_per_minute
        if most is None or self._limit.totals(now)[0] < most:
            return None
        return self._limit.oldest_leaves_at()

    def score(self, now: float, fastest_seconds: float) -> float:
        """How long a call would keep it from others: the lowest is the best.

        Args:
            now: the time.
            fastest_seconds: the shortest duration of all members, above 0.
        """
        room = self.config.capacity * self.config.weight
        slowness = 1 + PENALTY * self._penalty * _fading(now - self._penalised_at)
        return (self.active + 1) / room * self._expected_seconds(now, fastest_seconds) * slowness

    def state(self, now: float, fastest_seconds: float) -> MemberState:
        """What operators see of it."""
        return MemberState(
            name=self.config.name,
            active=self.active,
            capacity=self.config.capacity,
            breaker=self.breaker.state,
            score=self.score(now, fastest_seconds),
            calls=self.calls,
            failures=self.failures,
            opened_at=self.breaker.opened_at,
        )

    def begin(self, now: float, turn: int) -> None:
        """A call begins."""
        self.active += 1
        self.calls += 1
        self.turn = turn
        if self.config.calls_per_minute is not None:
            self._limit.add(0, now)

    def succeed(self, seconds: float, now: float) -> None:
        """A call of this duration succeeded."""
        self.active -= 1
        known = self.duration_seconds
        if known is None or seconds >= known:
            self.duration_seconds = seconds
        else:
            self.duration_seconds = seconds + (known - seconds) * _fading(now - self._changed_at)
        self._changed_at = now

    def fail(self, error: Exception, now: float) -> None:
        """A call failed; if it is not the record's fault, the member is avoided for a while."""
        self.active -= 1
        self.failures += 1
        if whose_fault(error) is not Fault.RECORD:
            penalty = self._penalty * _fading(now - self._penalised_at)
            self._penalty = penalty + (1 - penalty) / 2
            self._penalised_at = now

    def release(self) -> None:
        """A call ended without an outcome."""
        self.active -= 1

    def abandon(self, seconds: float, now: float) -> None:
        """A call was cancelled after so long: it would have taken longer, whatever its outcome."""
        self.active -= 1
        if self.duration_seconds is None or seconds > self.duration_seconds:
            self.duration_seconds = seconds
            self._changed_at = now

    def _expected_seconds(self, now: float, fastest_seconds: float) -> float:
        """What is known of it, and fades while it is idle; in the end it is as good as the best.

        Otherwise a member that was slow once would never be called again. While it is tried with
        one call, what was known counts in full, so that not all calls follow.
        """
        if self.duration_seconds is None or self.duration_seconds <= fastest_seconds:
            return fastest_seconds
        kept = 1.0 if self.active else _fading(now - self._changed_at)
        return max(fastest_seconds, self.duration_seconds * kept)


def _fading(seconds: float) -> float:
    """What is left of 1 after so long; in the end nothing."""
    left = math.exp(-seconds / DECAY_SECONDS)
    return left if left >= _FORGOTTEN else 0.0
