"""What the stages of a pipeline did in many executions, added up."""

from collections.abc import Iterable
from typing import Any

from streamapp.cli.figures import at_most, duration
from streamapp.cli.output import Report
from streamapp.observability.figures_report import ErrorReport
from streamapp.observability.histogram import Histogram
from streamapp.observability.last_errors import LastError, LastErrors
from streamapp.observability.stage_report import StageReport, StatusReport
from streamapp.pipeline.execution.results import ExecutionResult, StageResult
from streamapp.runtime.dead_letters import fingerprint
from streamapp.status import PipelineStatus

_UNKNOWN = "-"


class ExecutedStages:
    """The stages of a pipeline, over all executions so far.

    Args:
        pipeline: name of the pipeline.
        stages: names of its stages.

    Attributes:
        executions: number of executions, by status.
        error: class of the first error that made one fail.
    """

    def __init__(self, pipeline: str, stages: Iterable[str]) -> None:
        self.executions = dict.fromkeys((PipelineStatus.SUCCESS, PipelineStatus.FAILED), 0)
        self.error: str | None = None
        self._pipeline = pipeline
        self._stages = {name: _ExecutedStage() for name in stages}

    def add(self, result: ExecutionResult[Any], at: float) -> None:
        """Add an execution that ended at a time, in seconds since the epoch."""
        self.executions[result.status] += 1
        if result.error is not None and self.error is None:
            self.error = type(result.error.original_error or result.error).__qualname__
        for stage in result.stages:
            self._stages[stage.stage_id].add(stage, at)

    def report(self, at: float) -> StatusReport:
        """What is known of the stages, as a run keeps it."""
        found = [one.report(self._pipeline, name) for name, one in self._stages.items()]
        return StatusReport(at=at, stages=tuple(found))

    def summary(self, status: PipelineStatus) -> Report:
        """What the stages did, for people and for programs."""
        stages = self.report(0.0).stages
        data = {
            "pipeline": self._pipeline,
            "status": status.value,
            "executions": {one.value: count for one, count in self.executions.items()},
            "stages": [
                {**one.model_dump(mode="json"), "mean_seconds": one.mean_seconds} for one in stages
            ],
        }
        headings = ("stage", "status", "outcomes", "attempts", "mean", "p99", "last error")
        rows = [_row(one) for one in stages]
        return Report(data, headings, rows, least=("p99", "mean", "attempts"))


class _ExecutedStage:
    def __init__(self) -> None:
        self._status = PipelineStatus.PENDING
        self._given = self._attempts = 0
        self._seconds = 0.0
        self._outcomes: dict[str, int] = {}
        self._durations = Histogram(1e-6, 36)
        self._errors = LastErrors()

    def add(self, stage: StageResult, at: float) -> None:
        if stage.status is PipelineStatus.PENDING:
            return
        if self._status is not PipelineStatus.FAILED:
            self._status = stage.status
        self._given += 1
        self._attempts += stage.attempts
        self._seconds += stage.execution_time
        self._durations.observe(int(stage.execution_time * 1e6))
        for outcome, count in stage.outcomes.items():
            self._outcomes[outcome.value] = self._outcomes.get(outcome.value, 0) + count
        if stage.error is not None:
            error = stage.error.original_error
            known = error if isinstance(error, Exception) else stage.error
            if self._errors.wants(type(known), at):
                cause = fingerprint(stage.stage_id, known)
                self._errors.add(LastError(at, type(known).__qualname__, cause))

    def report(self, pipeline: str, name: str) -> StageReport:
        return StageReport(
            pipeline=pipeline,
            stage=name,
            state=self._status.value,
            records_in=self._given,
            outcomes=dict(self._outcomes),
            retries=max(0, self._attempts - sum(self._outcomes.values())),
            attempts=self._attempts,
            attempt_seconds=self._seconds,
            p99_seconds=self._durations.quantile_seconds(0.99),
            errors=tuple(
                ErrorReport(at=one.at, error=one.error, fingerprint=one.fingerprint)
                for one in self._errors.list()
            ),
        )


def _row(stage: StageReport) -> tuple[str, ...]:
    outcomes = ", ".join(f"{count:,} {name}" for name, count in stage.outcomes.items() if count)
    return (
        stage.stage,
        stage.state,
        outcomes or "none",
        f"{stage.attempts:,}",
        _UNKNOWN if stage.mean_seconds is None else duration(stage.mean_seconds),
        at_most(stage.p99_seconds),
        stage.errors[-1].error if stage.errors else "",
    )
