"""Rates for the status page: how much was finished since it was last drawn."""

from collections.abc import Sequence

from streamapp.clock import Clock
from streamapp.observability.stage_metrics import StageMetrics

MIN_SPAN_SECONDS = 1.0
"""Several viewers share one memory: a rate is never taken over less than this."""


class FinishedRates:
    """Records finished by the second, over the time between two looks.

    Args:
        clock: measures the time between looks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = clock.monotonic()
        self._finished: dict[int, int] = {}
        self._rates: dict[int, float] = {}

    def look(self, stages: Sequence[StageMetrics]) -> list[float]:
        """The rate of each stage; of the first look since this object was made."""
        now = self._clock.monotonic()
        seconds = now - self._looked_at
        if seconds >= MIN_SPAN_SECONDS:
            counts = {id(metrics): sum(metrics.outcomes.values()) for metrics in stages}
            self._rates = {
                stage: (count - self._finished.get(stage, 0)) / seconds
                for stage, count in counts.items()
            }
            self._finished, self._looked_at = counts, now
        return [self._rates.get(id(metrics), 0.0) for metrics in stages]
