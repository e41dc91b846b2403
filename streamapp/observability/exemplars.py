"""Exemplars: for each bucket of a histogram the trace of the last record that fell into it.

Only traces that are kept are noted here, by what makes them, so without traces nothing costs
anything. An exemplar names a trace and a span, never anything of the record.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client.samples import Exemplar, Timestamp

DURATION: Final = "streamapp_attempt_duration_seconds"
AGE: Final = "streamapp_record_age_seconds"
_UNITS_PER_SECOND: Final = {DURATION: 1_000_000, AGE: 1000}
"""Those of the histograms, whose bounds are powers of two of a unit."""


class Exemplars:
    """The last trace of each bucket, by metric and stage."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], dict[int, Exemplar]] = {}

    def note(
        self,
        stage: tuple[str, str],
        trace: Mapping[str, str],
        *,
        at: float,
        duration_seconds: float,
        age_seconds: float | None,
    ) -> None:
        """Remember the trace of an attempt.

        Args:
            stage: names of its pipeline and its stage.
            trace: ids of the trace and the span, as labels of the exemplar.
            at: when it ended, in seconds since the epoch.
            duration_seconds: how long it took.
            age_seconds: how old its record was then; `None` if that is not known.
        """
        self._put(DURATION, stage, trace, at, duration_seconds)
        if age_seconds is not None:
            self._put(AGE, stage, trace, at, age_seconds)

    def of(self, metric: str, pipeline: str, stage: str) -> Mapping[int, Exemplar]:
        """The exemplars of a histogram, by the index of the bucket."""
        return self._known.get((metric, pipeline, stage), {})

    def _put(
        self, metric: str, stage: tuple[str, str], trace: Mapping[str, str], at: float, value: float
    ) -> None:
        per_second = _UNITS_PER_SECOND[metric]
        units = max(0, int(value * per_second))
        buckets = self._known.setdefault((metric, *stage), {})
        buckets[units.bit_length()] = Exemplar(dict(trace), units / per_second, _timestamp(at))


def _timestamp(seconds: float) -> Timestamp:
    whole = int(seconds)
    return Timestamp(whole, int((seconds - whole) * 1e9))
