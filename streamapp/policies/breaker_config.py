"""When a breaker opens, how it probes, and when it closes."""

import math
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from streamapp.policies.backoff import Backoff
from streamapp.policies.distinct_keys import MOST_KEYS


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """Settings of a breaker. Each rule that opens it is enough alone.

    Attributes:
        window_seconds: outcomes count for so long; half a minute has the 20 keys of a slow stage.
        window_calls: and about so many count, the latest: under a high rate, an outage of a part of
            a dependency is seen within half of them, not within half the seconds.
        error_rate: share of the calls in the window that fail through the world's fault; above 0,
            at most 1. At half, retries double the load of what is in trouble.
        minimum_calls: the shares of calls are not looked at below so many.
        consecutive_failures: failures in a row through the world's fault. Four, the attempts that
            `retry(3)` has: a record that comes alone is not used up before the breaker opens. With
            `minimum_calls` before them, it takes a run that is no chance where calls fail so often.
        slow_seconds: a success that takes so long is slow; `None`: none is.
        slow_rate: share of the successes in the window that are slow; with `slow_seconds` only.
        validation_rate: share of all calls that fail through the record's own fault; `None`: such
            failures say nothing about the world.
        distinct_keys: unknown errors are taken for the world's fault when at least so many keys
            were seen in the window (at most 256) and
        distinct_share: more than this share of them failed.
        first_probe_seconds: longest wait before the first probe. Waits are drawn from the upper
            half of their range, so that workers do not probe together.
        longest_probe_seconds: no range ends above it. It is also how late the end of an outage is
            seen, and a probe costs one call: so a quarter of a minute.
        probe_multiplier: how much longer each next wait may be; at least 1.
        successes_to_close: probes in a row that have to succeed. Three, since where one call in
            three goes through by chance, one probe says little. When most keys failed with unknown
            errors, one of them has to be of a key that had failed, or no more keys be known to fail
            than `distinct_share` of all.

    Raises:
        ValueError: a value is out of its range.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    window_seconds: float = 30.0
    window_calls: int = 1_000
    error_rate: float = 0.5
    minimum_calls: int = 20
    consecutive_failures: int = 4
    slow_seconds: float | None = None
    slow_rate: float | None = None
    validation_rate: float | None = None
    distinct_keys: int = 20
    distinct_share: float = 0.5
    first_probe_seconds: float = 1.0
    longest_probe_seconds: float = 15.0
    probe_multiplier: float = 2.0
    successes_to_close: int = 3

    @property
    def waits(self) -> Backoff:
        """Waits before one probe after the other."""
        return Backoff(self.first_probe_seconds, self.probe_multiplier, self.longest_probe_seconds)

    def __post_init__(self) -> None:
        for name in (
            "minimum_calls",
            "consecutive_failures",
            "distinct_keys",
            "successes_to_close",
        ):
            _check_count(name, getattr(self, name))
        for name in ("window_seconds", "first_probe_seconds", "longest_probe_seconds"):
            _check_seconds(name, getattr(self, name))
        for name in ("error_rate", "slow_rate", "validation_rate"):
            if (share := getattr(self, name)) is not None and not 0 < share <= 1:
                raise ValueError(f"breaker: {name} must be above 0 and at most 1, not {share}")
        self._check_distinct()
        self._check_pairs()

    def _check_distinct(self) -> None:
        if not 0 <= self.distinct_share < 1:
            raise ValueError(
                "breaker: distinct_share is exceeded by more keys than it, so it must be at least 0"
                f" and below 1, not {self.distinct_share}"
            )
        if self.distinct_keys > MOST_KEYS:
            raise ValueError(
                f"breaker: distinct_keys must be at most {MOST_KEYS}, the keys that are remembered,"
                f" not {self.distinct_keys}"
            )

    def _check_pairs(self) -> None:
        if (self.slow_seconds is None) != (self.slow_rate is None):
            raise ValueError("breaker: slow_seconds and slow_rate go together; give both or none")
        if self.slow_seconds is not None:
            _check_seconds("slow_seconds", self.slow_seconds)
        _check_count("window_calls", self.window_calls)
        if self.window_calls < self.minimum_calls:
            raise ValueError(
                f"breaker: window_calls is {self.window_calls}, so the minimum_calls of"
                f" {self.minimum_calls} would never be reached"
            )
        if not self.probe_multiplier >= 1:
            raise ValueError(
                f"breaker: probe_multiplier must be at least 1, not {self.probe_multiplier}"
            )
        if self.longest_probe_seconds < self.first_probe_seconds:
            raise ValueError(
                f"breaker: longest_probe_seconds is {self.longest_probe_seconds}, which is below"
                f" the first_probe_seconds of {self.first_probe_seconds}"
            )


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"breaker: {name} must be a whole number of at least 1, not {value!r}")


def _check_seconds(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"breaker: {name} must be a number of seconds above 0, not {value}")
