"""What a worker knows of its stages now, as `/status` serves it."""

from collections.abc import Callable, Sequence
from typing import Any

from streamapp.clock import Clock
from streamapp.native_leaves import SELECTED
from streamapp.observability.recent import acknowledged_rates
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.observability.stage_reading import report_of
from streamapp.observability.stage_report import StatusReport
from streamapp.observability.verdict import verdict_of
from streamapp.pipeline.outline import Outline
from streamapp.version import VERSION
from streamapp.web.pipelines import pipeline_report


class StatusReporter:
    """Reports the stages of a worker.

    Args:
        stages: returns the counters of every stage.
        clock: the clock that the counters were written with.
        chains: returns the agents of assembled pipelines, as JSON can hold them.
        outlines: what the pipelines are.
    """

    def __init__(
        self,
        stages: Callable[[], Sequence[StageMetrics]],
        clock: Clock,
        *,
        chains: Callable[[], Sequence[dict[str, Any]]] = tuple,
        outlines: Sequence[Outline] = (),
    ) -> None:
        self._stages = stages
        self._clock = clock
        self._chains = chains
        self._pipelines = tuple(map(pipeline_report, outlines))

    def report(self) -> StatusReport:
        """What is known of every stage now."""
        stages, now, wall = self._stages(), self._clock.monotonic(), self._clock.time()
        found = [
            report_of(
                one,
                verdict_of(one, now, one.stall_after_seconds),
                now,
                wall,
                rate,
            )
            for one, rate in zip(stages, acknowledged_rates(stages, now), strict=True)
        ]
        return StatusReport(
            at=wall,
            stages=tuple(found),
            pipelines=self._pipelines,
            streamapp=VERSION,
            leaves=SELECTED.sentence,
            chains=tuple(self._chains()),
        )
