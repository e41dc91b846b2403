"""Collectors: what a user's own code is told of each execution of a stage and of a pipeline."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence

from streamapp.status import PipelineStatus

log = logging.getLogger(__name__)


class MetricsCollector(ABC):
    """Is told of each execution; give it to `Pipeline.collect`.

    Its methods are called on the event loop, also when an exception ends an execution, so they
    should be quick. What they raise is logged once and harms nothing.
    """

    @abstractmethod
    def record_stage_execution(
        self, pipeline_id: str, stage_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        """Note that a stage is done with a value.

        Args:
            pipeline_id: name of the pipeline.
            stage_id: name of the stage.
            duration_seconds: from its first attempt to its end, waits between attempts included.
            status: `success`, also if the policy skipped or dropped it; `failed`; or `cancelled`.
        """

    @abstractmethod
    def record_pipeline_execution(
        self, pipeline_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        """Note that an execution of a pipeline has ended.

        Args:
            pipeline_id: name of the pipeline.
            duration_seconds: how long it took. On Kafka, the age of the record, from its timestamp.
            status: `success`, `failed` or `cancelled`.
        """


class Collectors:
    """Several collectors, whose failures harm nothing.

    Args:
        collectors: the collectors.

    Attributes:
        collectors: the same.
        failures: how often one of them has raised.
    """

    def __init__(self, collectors: Sequence[MetricsCollector]) -> None:
        self.collectors = tuple(collectors)
        self._told: set[int] = set()
        self.failures = 0

    def stage(
        self, pipeline_id: str, stage_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        """Tell all of them of a stage."""
        for one in self.collectors:
            try:
                one.record_stage_execution(pipeline_id, stage_id, duration_seconds, status)
            except Exception as error:  # noqa: BLE001 - a user's own code
                self._failed(one, error)

    def pipeline(self, pipeline_id: str, duration_seconds: float, status: PipelineStatus) -> None:
        """Tell all of them of a pipeline."""
        for one in self.collectors:
            try:
                one.record_pipeline_execution(pipeline_id, duration_seconds, status)
            except Exception as error:  # noqa: BLE001 - a user's own code
                self._failed(one, error)

    def _failed(self, one: MetricsCollector, error: Exception) -> None:
        self.failures += 1
        if id(one) not in self._told:
            self._told.add(id(one))
            name = type(one).__name__
            log.warning("the metrics collector %s fails; this is told once: %r", name, error)
