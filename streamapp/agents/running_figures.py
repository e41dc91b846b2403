"""Figures over numbers that come one by one, in bounded memory."""

import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from ddsketch import LogCollapsingLowestDenseDDSketch

from streamapp.agents.kinds import UnfitError

_LOGARITHM_OF_RANGE = 44.0
"""Quantiles are as exact as they say over numbers of one sign from 1 to 10^19, or as far apart.

Beyond, the sketch takes the smallest ones together, and small quantiles are less exact.
"""

_LARGEST = 1e300


class Figure(StrEnum):
    """A figure over all numbers so far."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"


class RunningFigures:
    """Count, sum, mean, least, greatest and quantiles of what was added.

    Args:
        relative_error: by which share a quantile may differ from an exact one; `None` for no
            quantiles.

    Attributes:
        count: how many numbers were added.
        min, max: the least and the greatest of them.
    """

    def __init__(self, relative_error: float | None = None) -> None:
        self.count = 0
        self.min: float = math.inf
        self.max: float = -math.inf
        self._integers = 0  # their sum, which is exact
        self._floats = 0.0
        self._lost = 0.0  # what rounding took from the sum of floats (Neumaier 1974)
        self._has_floats = False
        self._sketch = None
        if relative_error is not None:
            # A bin of the sketch spans numbers that differ by twice the relative error.
            bins = math.ceil(_LOGARITHM_OF_RANGE / (2 * relative_error))
            self._sketch = LogCollapsingLowestDenseDDSketch(relative_error, bins)

    def add(self, number: float) -> None:
        """Add a number; one that is refused changes nothing.

        Raises:
            UnfitError: it is too large, or the sum would be.
        """
        if not abs(number) <= _LARGEST:
            raise UnfitError("the number is too large to be added")
        if isinstance(number, int):
            self._integers += number
        else:
            self._add_float(number)
        self.count += 1
        self.min = min(self.min, number)
        self.max = max(self.max, number)
        if self._sketch is not None:
            self._sketch.add(float(number))

    def count_one(self) -> None:
        """Count something that has no number."""
        self.count += 1

    @property
    def sum(self) -> float:
        """The sum; of integers alone it is an exact integer."""
        if not self._has_floats:
            return self._integers
        return self._integers + (self._floats + self._lost)

    @property
    def mean(self) -> float:
        """The mean."""
        return self.sum / self.count

    def quantile(self, share: float) -> float:
        """The number below which this share of all is, as exact as the relative error says."""
        found = None if self._sketch is None else self._sketch.get_quantile_value(share)
        if found is None:
            raise ValueError("there are no quantiles")
        return float(min(max(found, self.min), self.max))

    def _add_float(self, number: float) -> None:
        total = self._floats + number
        if not math.isfinite(total):
            raise UnfitError("the sum would be too large")
        larger, smaller = sorted((self._floats, number), key=abs, reverse=True)
        self._lost += (larger - total) + smaller
        self._floats = total
        self._has_floats = True


FIGURES: Mapping[Figure, Callable[[RunningFigures], float]] = {
    Figure.COUNT: lambda figures: figures.count,
    Figure.SUM: lambda figures: figures.sum,
    Figure.MEAN: lambda figures: figures.mean,
    Figure.MIN: lambda figures: figures.min,
    Figure.MAX: lambda figures: figures.max,
}


def quantile_names(shares: Sequence[float]) -> Mapping[str, float]:
    """Names of quantiles: `p99.9` for 0.999."""
    return {f"p{round(share * 100, 10):g}": share for share in shares}
