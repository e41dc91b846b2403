"""What is known of an execution so far: the results of its stages, its outputs, its failures."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from streamapp.clock import Clock
from streamapp.errors import StageError
from streamapp.observability.collector import Collectors
from streamapp.observability.stage_metrics import Outcome
from streamapp.pipeline.context import Context, RecordContext
from streamapp.pipeline.execution.results import (
    ExecutionDeadLetter,
    ExecutionOutput,
    ExecutionResult,
    StageResult,
)
from streamapp.pipeline.execution.step import ExecutionStep, GivenRecord, Item, Made
from streamapp.pipeline.trail import StageEntry, Trail, error_entry
from streamapp.policies.describe import describe
from streamapp.status import PipelineStatus


class GivenValue:
    """What a stage was given, with what has become of it so far.

    Attributes:
        item: its value, key and headers.
        record: the record that the segment was given.
        already: outputs that earlier fused stages made of the same record, and their bytes.
        began: monotonic seconds at which the first attempt began.
        failures: number of failed attempts.
        failures_before: how many of them were before it last waited as in a retry topic.
        delays_used: how often it has waited so.
        kept: the trail with these failures; `None` if nothing is kept.
        context: the context of the last attempt; `None` if the agent takes none.
    """

    __slots__ = (
        "already",
        "began",
        "context",
        "delays_used",
        "failures",
        "failures_before",
        "item",
        "kept",
        "record",
    )

    def __init__(
        self, item: Item, record: GivenRecord, already: tuple[int, int], began: float
    ) -> None:
        self.item = item
        self.record = record
        self.already = already
        self.began = began
        self.failures = self.failures_before = self.delays_used = 0
        self.kept: Trail | None = None
        self.context: RecordContext | None = None


class Account:
    """What is known of an execution so far.

    Args:
        pipeline_id: name of the pipeline.
        stages: names of its stages.
        context: what the caller gave; status, history and errors are written to it.
        clock: the time.
        collectors: told of each execution; `None` without any.

    Attributes:
        error: the first error that makes the execution fail; `None` so far.
    """

    def __init__(
        self,
        pipeline_id: str,
        stages: Iterable[str],
        context: Context,
        clock: Clock,
        collectors: Collectors | None,
    ) -> None:
        self._collectors = collectors
        self._pipeline_id = pipeline_id
        self._context = context
        self._clock = clock
        self._began = clock.monotonic()
        self._wall = clock.time() - self._began
        self._trail = context.begin(pipeline_id, self._wall + self._began)
        self._stages = [StageResult(stage) for stage in stages]
        self._sinks: list[ExecutionOutput[Any]] = []
        self._routes: dict[str, list[ExecutionOutput[Any]]] = defaultdict(list)
        self._letters: list[ExecutionDeadLetter] = []
        self.error: StageError | None = None

    def result(self, status: PipelineStatus, duration: float) -> ExecutionResult[Any]:
        """The result of an execution that has ended."""
        return ExecutionResult(
            status=status,
            stages=self._stages,
            context=self._context,
            duration=duration,
            sinks=self._sinks,
            routes=dict(self._routes),
            dead_letters=self._letters,
            error=self.error,
        )

    def end(self, status: PipelineStatus) -> float:
        """Note that the execution has ended so; returns how many seconds it took."""
        for stage in self._stages:
            if stage.status is PipelineStatus.RUNNING:
                stage.status = status
        self._context.end(status)
        duration = self._clock.monotonic() - self._began
        if self._collectors is not None:
            self._collectors.pipeline(self._pipeline_id, duration, status)
        return duration

    def begin_stage(self, step: ExecutionStep) -> None:
        """Note that a stage works on something."""
        stage = self._stages[step.index]
        if stage.status is not PipelineStatus.FAILED:
            stage.status = PipelineStatus.RUNNING

    def leave(self, one: ExecutionOutput[Any] | ExecutionDeadLetter) -> None:
        """Keep what leaves the pipeline."""
        if isinstance(one, ExecutionDeadLetter):
            self._letters.append(one)
        elif one.route is None:
            self._sinks.append(one)
        else:
            self._routes[one.route].append(one)

    def attempt_failed(self, step: ExecutionStep, error: Exception) -> None:
        """Add a failed attempt to the error log."""
        self._trail.add_error(error_entry(error, step.stage_id, self._clock.time()))

    def gave(
        self, step: ExecutionStep, value: GivenValue, made: Sequence[Made], entry: StageEntry
    ) -> None:
        """Note what a stage has made of a value."""
        stage = self._end_value(step, value, entry, PipelineStatus.SUCCESS)
        if stage.status is not PipelineStatus.FAILED:
            stage.status = PipelineStatus.SUCCESS
        self.shows(step, made)

    def shows(self, step: ExecutionStep, made: Sequence[Made]) -> None:
        """Add outputs to the result of their stage."""
        self._stages[step.index].made += [partial(step.shown, one) for one in made]

    def failed(
        self, step: ExecutionStep, value: GivenValue, error: Exception, entry: StageEntry
    ) -> StageError:
        """Note that a value failed for good; the policy has skipped or dropped it, or else."""
        is_made_good = entry.outcome in (Outcome.SKIPPED, Outcome.DROPPED)
        status = PipelineStatus.SUCCESS if is_made_good else PipelineStatus.FAILED
        stage = self._end_value(step, value, entry, status)
        if stage.status is not PipelineStatus.FAILED:
            stage.status = status
        failure = self.stage_error(step, error, value.failures)
        stage.error = stage.error or failure
        if not is_made_good:
            self.error = self.error or failure
        return failure

    def interrupted(self, step: ExecutionStep, value: GivenValue) -> None:
        """Count an attempt that was cancelled."""
        self._count(step, value, value.failures + 1, PipelineStatus.CANCELLED)

    def entry(
        self, step: ExecutionStep, value: GivenValue, outcome: str, attempts: int
    ) -> StageEntry:
        """What a stage has done with a value, for the history."""
        duration = self._clock.monotonic() - value.began
        return step.audit.entry(outcome, self._wall + value.began, duration, attempts)

    def add_metadata(self, trail: Trail) -> None:
        """Take over what an agent has added to the metadata."""
        self._trail.metadata.update(trail.metadata)

    def stage_error(self, step: ExecutionStep, error: Exception, attempts: int) -> StageError:
        """Say which stage failed, and why."""
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        failure = StageError(
            f"stage {step.stage_id!r} of pipeline {self._pipeline_id!r} failed{tried}:"
            f" {type(error).__name__}: {describe(error)}",
            stage_id=step.stage_id,
            original_error=error,
        )
        failure.__cause__ = error
        return failure

    def refuse(self, step: ExecutionStep, error: Exception) -> None:
        """Note that the first stage could not even be given the data."""
        stage = self._stages[step.index]
        stage.status = PipelineStatus.FAILED
        stage.error = self.error = self.stage_error(step, error, 0)
        self.attempt_failed(step, error)
        if self._collectors is not None:
            self._collectors.stage(self._pipeline_id, step.stage_id, 0.0, PipelineStatus.FAILED)

    def _end_value(
        self, step: ExecutionStep, value: GivenValue, entry: StageEntry, status: PipelineStatus
    ) -> StageResult:
        self._trail.add_stage(entry)
        stage = self._count(step, value, entry.attempts, status)
        outcome = entry.outcome
        if isinstance(outcome, Outcome):
            stage.outcomes[outcome] = stage.outcomes.get(outcome, 0) + 1
        return stage

    def _count(
        self, step: ExecutionStep, value: GivenValue, attempts: int, status: PipelineStatus
    ) -> StageResult:
        stage = self._stages[step.index]
        duration = self._clock.monotonic() - value.began
        stage.attempts += attempts
        stage.execution_time += duration
        if self._collectors is not None:
            self._collectors.stage(self._pipeline_id, step.stage_id, duration, status)
        return stage
