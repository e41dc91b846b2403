"""Measures each call of an agent."""

from collections.abc import Callable
from typing import Any

from streamapp.clock import current_clock
from streamapp.observability.execution_figures import InMemoryCollector
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call
from streamapp.pipeline.stage import Stage
from streamapp.status import PipelineStatus


class TimeStages:
    """Measures each call of an agent, also those that fail, on the current clock.

    Args:
        report: called with the stage's id and the seconds of each call; `None` for figures alone.

    Attributes:
        figures: counts, sums and quantiles, by pipeline and stage; bounded.
    """

    def __init__(self, report: Callable[[str, float], None] | None = None) -> None:
        self.figures = InMemoryCollector()
        self._report = report

    async def __call__(self, data: Any, stage: Stage, context: Context, call: Call) -> Any:
        """Call the agent and note how long that took."""
        clock = current_clock()
        began = clock.monotonic()
        status = PipelineStatus.FAILED
        try:
            result = await call(data)
            status = PipelineStatus.SUCCESS
            return result
        finally:
            seconds = clock.monotonic() - began
            pipeline_id, stage_id = context.pipeline_id, stage.stage_id
            self.figures.record_stage_execution(pipeline_id, stage_id, seconds, status)
            if self._report is not None:
                self._report(stage_id, seconds)
