"""Rates for the status page: records finished a second."""

from collections.abc import Sequence

from streamapp.clock import Clock
from streamapp.observability.stage_metrics import StageMetrics

MIN_SPAN_SECONDS = 1.0
"""Shortest time over which a rate is computed; several viewers may share the rates."""


class FinishedRates:
    """Computes how many records each stage finishes a second.

    Args:
        clock: measures the time between two calls of `update`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._updated_at = clock.monotonic()
        self._finished: dict[int, int] = {}
        self._rates: dict[int, float] = {}

    def measured(self, stages: Sequence[StageMetrics]) -> list[float | None]:
        """The same as `update`; `None` where no time has been measured yet."""
        self.update(stages)
        return [self._rates.get(id(metrics)) for metrics in stages]

    def update(self, stages: Sequence[StageMetrics]) -> list[float]:
        """The rate of each stage since the last update at least `MIN_SPAN_SECONDS` ago."""
        now = self._clock.monotonic()
        seconds = now - self._updated_at
        if seconds >= MIN_SPAN_SECONDS:
            counts = {id(metrics): sum(metrics.outcomes.values()) for metrics in stages}
            self._rates = {
                stage: (count - self._finished.get(stage, 0)) / seconds
                for stage, count in counts.items()
            }
            self._finished, self._updated_at = counts, now
        return [self._rates.get(id(metrics), 0.0) for metrics in stages]
