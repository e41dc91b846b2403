"""How long to wait before the next attempt."""

import random
import sys
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter.

    The wait before retry `n` is drawn evenly from zero to
    `min(max_seconds, base_seconds * factor**(n - 1))`; spreading it over the whole range keeps
    records that failed together from coming back together (Brooker, "Exponential Backoff And
    Jitter", 2015).

    Attributes:
        base_seconds: upper end of the first wait.
        factor: how much longer each next wait may be.
        max_seconds: upper end of every wait.

    Raises:
        ValueError: a length is negative, or the factor is below one.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    base_seconds: float = 0.1
    factor: float = 2.0
    max_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.base_seconds < 0 or self.max_seconds < 0:
            raise ValueError("backoff: base_seconds and max_seconds must not be negative")
        if self.factor < 1:
            raise ValueError(f"backoff: factor must be at least 1, not {self.factor}")

    def delay_seconds(self, retry: int, rng: random.Random) -> float:
        """Wait before the `retry`-th retry, counted from 1."""
        return rng.uniform(0.0, self.longest_delay_seconds(retry))

    def late_delay_seconds(self, retry: int, spread: float) -> float:
        """A wait in the upper half of the range; `spread`, from 0 to 1, says where."""
        return self.longest_delay_seconds(retry) * (1 + spread) / 2

    def longest_delay_seconds(self, retry: int) -> float:
        """Upper end of the wait before the `retry`-th retry, counted from 1."""
        try:
            growth = float(self.factor) ** (retry - 1)
        except OverflowError:  # 2.0 ** 1024 does not fit a float
            growth = sys.float_info.max
        return min(self.max_seconds, self.base_seconds * growth)
