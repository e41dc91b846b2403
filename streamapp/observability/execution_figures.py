"""Collectors that ship: one keeps bounded figures in memory, one exports to Prometheus."""

from collections.abc import Mapping

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client import Histogram as PrometheusHistogram

from streamapp.observability.collector import MetricsCollector
from streamapp.observability.definitions import PIPELINE_EXECUTION, STAGE_EXECUTION
from streamapp.observability.histogram import Histogram
from streamapp.status import PipelineStatus

MAX_SERIES = 10_000
"""Largest number of stages and pipelines of which an `InMemoryCollector` keeps figures."""

_BUCKETS = 36
"""The last one begins at 2**34 microseconds, about five hours."""


class Figures:
    """Figures of the executions of one stage or pipeline.

    Attributes:
        counts: executions by status.
        seconds: sum of their durations.
        longest_seconds: the longest.
    """

    __slots__ = ("_durations", "counts", "longest_seconds", "seconds")

    def __init__(self) -> None:
        self.counts: dict[PipelineStatus, int] = {}
        self.seconds = 0.0
        self.longest_seconds = 0.0
        self._durations = Histogram(1e-6, _BUCKETS)

    @property
    def count(self) -> int:
        """Number of executions."""
        return sum(self.counts.values())

    def quantile_seconds(self, q: float) -> float | None:
        """Upper bound of a quantile of the durations, at most twice as long; `None` without any."""
        return self._durations.quantile_seconds(q)

    def add(self, duration_seconds: float, status: PipelineStatus) -> None:
        """Count one execution."""
        self.counts[status] = self.counts.get(status, 0) + 1
        self.seconds += duration_seconds
        self.longest_seconds = max(self.longest_seconds, duration_seconds)
        self._durations.observe(int(duration_seconds * 1e6))


class InMemoryCollector(MetricsCollector):
    """Keeps figures of each stage and pipeline in memory, however many executions there are.

    Args:
        max_series: largest number of stages and pipelines together; the executions of others are
            only counted, in `dropped`.

    Attributes:
        stages: figures by pipeline and stage.
        pipelines: figures by pipeline.
        dropped: executions of stages and pipelines beyond `max_series`.
    """

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self._stages: dict[tuple[str, str], Figures] = {}
        self._pipelines: dict[str, Figures] = {}
        self._max_series = max_series
        self.dropped = 0

    @property
    def stages(self) -> Mapping[tuple[str, str], Figures]:
        """Figures by pipeline and stage."""
        return self._stages

    @property
    def pipelines(self) -> Mapping[str, Figures]:
        """Figures by pipeline."""
        return self._pipelines

    def record_stage_execution(
        self, pipeline_id: str, stage_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        """Add an execution of a stage to its figures."""
        figures = self._stages.get((pipeline_id, stage_id))
        if figures is None:
            if self._is_full():
                return
            figures = self._stages[pipeline_id, stage_id] = Figures()
        figures.add(duration_seconds, status)

    def record_pipeline_execution(
        self, pipeline_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        """Add an execution of a pipeline to its figures."""
        figures = self._pipelines.get(pipeline_id)
        if figures is None:
            if self._is_full():
                return
            figures = self._pipelines[pipeline_id] = Figures()
        figures.add(duration_seconds, status)

    def _is_full(self) -> bool:
        """Whether there is no room for another series; counts the execution if so."""
        is_full = len(self._stages) + len(self._pipelines) >= self._max_series
        self.dropped += is_full
        return is_full


class PrometheusCollector(MetricsCollector):
    """Exports the durations of executions, with their counts, to Prometheus.

    Args:
        registry: registry of the Prometheus client; make one collector for each.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._stages = PrometheusHistogram(
            STAGE_EXECUTION.name, STAGE_EXECUTION.help, STAGE_EXECUTION.labels, registry=registry
        )
        self._pipelines = PrometheusHistogram(
            PIPELINE_EXECUTION.name,
            PIPELINE_EXECUTION.help,
            PIPELINE_EXECUTION.labels,
            registry=registry,
        )

    def record_stage_execution(
        self, pipeline_id: str, stage_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        """Observe an execution of a stage."""
        self._stages.labels(pipeline_id, stage_id, status).observe(duration_seconds)

    def record_pipeline_execution(
        self, pipeline_id: str, duration_seconds: float, status: PipelineStatus
    ) -> None:
        """Observe an execution of a pipeline."""
        self._pipelines.labels(pipeline_id, status).observe(duration_seconds)
