"""Handles failed attempts: asks the policy of the stage, and does what it decides."""

import logging
import sys
from collections.abc import Callable

from streamapp.errors import (
    KeyGivenUpError,
    RecordError,
    RecordRefusedError,
    StageStoppedError,
    Transient,
)
from streamapp.observability.exception_text import sentence_of
from streamapp.observability.last_errors import LastError
from streamapp.observability.stage_metrics import DeadLetterReason, Outcome
from streamapp.pipeline.stage import KeyBacklog, Ordering, StageConfig
from streamapp.pipeline.trail import with_header
from streamapp.policies.decision import Decision, decide, final_decision
from streamapp.policies.describe import describe
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.gravest import gravest
from streamapp.policies.policy import ErrorPolicy
from streamapp.record import Headers
from streamapp.runtime.config import Environment
from streamapp.runtime.dead_letters import Failure, error_headers, fingerprint, place_of
from streamapp.runtime.hold import Hold
from streamapp.runtime.letter_listeners import tell_of_letter
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.retry_later import move_to_retry_topic
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Work
from streamapp.status import PipelineStatus

log = logging.getLogger(__name__)

MAX_LOGGED_CAUSES = 100
"""At most this many different causes of dead letters are logged in one run of a segment.

A run seldom has more than a few; without a bound, errors that differ each time would fill the log.
"""


class FailureHandler:
    """Applies the error policies of a segment.

    Args:
        environment: the clock, random numbers for backoff, and the id of this run of the worker.
        config: says what happens when too many records wait behind one that fails.
        retries: where records wait for their next attempt.
        hold: holds records while the world is at fault.
        on_stop: called with the error when a policy says stop. The record is not finished then, so
            the next run begins with it.

    Attributes:
        agent_is_lost: whether an agent has ended by itself. What fails then is no record's fault:
            the record is not finished, and is read again by the next run.
    """

    def __init__(
        self,
        environment: Environment,
        config: StageConfig,
        *,
        retries: RetryQueue,
        hold: Hold,
        on_stop: Callable[[StageStoppedError], None],
    ) -> None:
        self._clock = environment.clock
        self._rng = environment.rng
        self._execution_id = environment.execution_id
        self._max_backlog = config.max_key_backlog_records
        self._bounds_backlog = (
            config.ordering is Ordering.KEY and config.on_key_backlog is not KeyBacklog.WAIT
        )
        self._on_backlog = config.on_key_backlog
        self._retries = retries
        self._hold = hold
        self._logged_causes: set[str] = set()
        self._on_stop = on_stop
        self.agent_is_lost = False

    def handle(  # noqa: PLR0911 - one branch for each policy, in one place
        self, work: Work, step: StepRunner, error: Exception, ended: float | None = None
    ) -> bool:
        """Apply the policy to a failed attempt.

        Args:
            work: the record.
            step: step of the attempt.
            error: why it failed.
            ended: when it ended, in monotonic seconds; `None` is now.

        Returns:
            True if this value needs no further attempt, so that the record continues with its other
            values, if any. False if it waits for a retry, the stage stops, or its partition is
            closed.
        """
        if work.partition.closed or self.agent_is_lost:
            return False
        error = gravest(error, step.policy)
        ago = 0.0 if ended is None else self._clock.monotonic() - ended
        work.last_failure_at = self._clock.time() - ago
        work.first_failure_at = work.first_failure_at or work.last_failure_at
        if isinstance(error, KeyGivenUpError):
            return self._dead_letter(work, step, error, DeadLetterReason.BACKLOG)
        _count(step, error, work.last_failure_at)
        if self._hold.holds(step, work, error):
            return False
        if not work.is_failing:
            work.failing_since = self._clock.monotonic()
        work.failures += 1
        work.context = None  # what a failed attempt has added to it is forgotten
        origin = work.record if work.item is None else work.item
        work.kept = step.audit.add_failure(work.kept, origin.headers, error)
        decision = self._decide(work, step, error)
        match decision.action:
            case ErrorPolicy.RETRY if work.on_last_attempt:
                return self._give_up_key(work, step, error)
            case ErrorPolicy.RETRY:
                step.metrics.retries += 1
                self._retries.add(work, decision.delay_seconds)
                # Records may have come to wait behind this one while the attempt ran.
                self.check_backlog(work, len(work.behind or ()))
                return False
            case ErrorPolicy.RETRY_LATER:
                if self._retry_later(work, step, error, decision):
                    return True
                return self._end(work, step, error, final_decision(step.policy, error))
            case _:
                return self._end(work, step, error, decision)

    def _decide(self, work: Work, step: StepRunner, error: Exception) -> Decision:
        failures = work.failures - work.failures_before(step.index)
        used = work.delays_used(step.index)
        decision = decide(step.policy, error, failures, self._rng, delays_used=used)
        if decision.action is ErrorPolicy.RETRY and work.on_last_attempt:
            # Others wait for it, so it waits elsewhere, if it can.
            later = decide(step.policy, error, sys.maxsize, self._rng, delays_used=used)
            return later if later.action is ErrorPolicy.RETRY_LATER else decision
        return decision

    def _end(self, work: Work, step: StepRunner, error: Exception, decision: Decision) -> bool:
        """End a record as its policy says; returns what `handle` does."""
        match decision.action:
            case ErrorPolicy.SKIP:
                return self._skip(work, step)
            case ErrorPolicy.DROP:
                step.metrics.dropped += 1
                step.tell(work, PipelineStatus.SUCCESS, flows_on=False)
                return True
            case ErrorPolicy.DEAD_LETTER:
                return self._dead_letter_unless_alone(work, step, error, decision.reason)
            case _:
                self._stop(work, step, error, "its policy says stop")
                return False

    def _retry_later(
        self, work: Work, step: StepRunner, error: Exception, decision: Decision
    ) -> bool:
        """Let a record wait in a retry topic; false if that does not take it."""
        failure = self._failure(work, step, error, decision.reason)
        original = _original_of(work, step)
        if original is None:  # the step would get what another one takes
            return False
        return move_to_retry_topic(work, step, failure, original, decision.delay_seconds)

    def stop_after_hold(self, work: Work, step: StepRunner) -> None:
        """Stop the stage at a record that was held for too long."""
        error = Transient("what the stage depends on was down for too long")
        self._stop(work, step, error, "its records were held for max_hold_seconds")

    def _dead_letter_unless_alone(
        self, work: Work, step: StepRunner, error: Exception, reason: DeadLetterReason
    ) -> bool:
        """Dead-letter a record, but let it wait while nothing says that the world is not down."""
        seconds = self._hold.of(step).wait_for_others(work, error)
        if seconds is None:
            return self._dead_letter(work, step, error, reason)
        if work.on_last_attempt:
            return self._give_up_key(work, step, error)
        step.metrics.retries += 1
        self._retries.add(work, seconds)
        return False

    def check_backlog(self, work: Work, waiting: int) -> None:
        """Give a failing record one last attempt, now, if too many records wait behind it.

        Args:
            work: the record, which waits for a retry.
            waiting: how many records of its key wait behind it.
        """
        if not self._bounds_backlog or work.on_last_attempt or waiting < self._max_backlog:
            return
        work.on_last_attempt = True
        self._retries.retry_now((work,))

    def _give_up_key(self, work: Work, step: StepRunner, error: Exception) -> bool:
        """Stop, or dead-letter a record and all that wait behind it: its last attempt failed."""
        behind = (work.behind or ()) if self._bounds_backlog else ()
        why = f"{len(behind)} records of its key wait behind it"
        if len(behind) < self._max_backlog:
            why = "failing records kept others from being read"
        if self._on_backlog is KeyBacklog.STOP:
            self._stop(work, step, error, why)
            return False
        record = work.record
        for waiting in behind:
            waiting.give_up_error = KeyGivenUpError(
                f"offset {record.offset} of its key kept failing until {why}; this was not tried"
            )
        return self._dead_letter(work, step, error, DeadLetterReason.BACKLOG)

    def _skip(self, work: Work, step: StepRunner) -> bool:
        try:
            step.pass_on(work)
        except Exception as error:  # noqa: BLE001 - a user's validator may raise anything
            # The next step or the output topic does not accept the unchanged record.
            return self._dead_letter(work, step, error, DeadLetterReason.OUTPUT)
        step.metrics.skipped += 1
        step.tell(work, PipelineStatus.SUCCESS, flows_on=True)
        return True

    def _dead_letter(
        self, work: Work, step: StepRunner, error: Exception, reason: DeadLetterReason
    ) -> bool:
        if not self._hold.is_within_budget(step, work):
            own = self._hold.of(step)
            if own.stops_beyond_budget:
                self._stop(work, step, error, f"it has {own.beyond_budget}")
            return False
        failure = self._failure(work, step, error, reason)
        record = work.record
        key, value, headers = _original_of(work, step) or (record.key, record.value, record.headers)
        headers = error_headers(headers, *work.origin, failure)
        target = step.dead_letters
        entry = step.entry(work, Outcome.DEAD_LETTERED, work.failures)
        header = step.audit.header_of_letter(work.kept, headers, entry, error)
        told = with_header(headers, header)
        headers = told if target.takes(key, value, told) else headers
        if not target.takes(key, value, headers):
            self._stop(work, step, error, f"its dead letter does not fit into {target.name!r}")
            return False
        try:
            if step.refusals is not None:
                step.refusals.check(work.partition.name, work.record.offset, target)
        except RecordRefusedError as refused:
            self._stop(work, step, error, f"its dead letter is refused: {describe(refused)}")
            return False
        letter = (target, key, value, headers)
        work.outputs = [letter] if work.outputs is None else [*work.outputs, letter]
        work.dead_letters = [*(work.dead_letters or ()), (step.metrics, reason)]
        step.metrics.dead_lettered += 1
        step.tell(work, PipelineStatus.FAILED, flows_on=False)
        self._count_kind(step, failure, target.name, record.timestamp)
        tell_of_letter(step.letter_listeners, work, failure, target.name)
        return True

    def _failure(
        self, work: Work, step: StepRunner, error: Exception, reason: DeadLetterReason
    ) -> Failure:
        return Failure(
            pipeline=step.pipeline,
            stage=step.stage_id,
            error=error,
            reason=reason,
            attempts=work.failures,
            first_failure_at=work.first_failure_at,
            last_failure_at=work.last_failure_at,
            execution_id=self._execution_id,
            sent_back=work.sent_back(step.index),
        )

    def _count_kind(
        self, step: StepRunner, failure: Failure, topic: str, timestamp_ms: int
    ) -> None:
        """Count a dead letter with others of its cause, and log the first of each."""
        cause = fingerprint(failure.stage, failure.error)
        kind, at = type(failure.error).__name__, failure.last_failure_at
        timestamp = None if timestamp_ms < 0 else timestamp_ms / 1000
        step.metrics.letter_kinds.count(cause, kind, failure.reason, at, timestamp)
        if cause in self._logged_causes or len(self._logged_causes) >= MAX_LOGGED_CAUSES:
            return
        self._logged_causes.add(cause)
        # What does not decode or encode is refused in code of ours, which is not where to look.
        place = "" if isinstance(failure.error, RecordError) else place_of(failure.error)
        log.warning(
            "stage %s of %s: first dead letter with this cause (%s, %s) goes to %s: %s%s",
            failure.stage,
            failure.pipeline,
            failure.reason,
            cause,
            topic,
            type(failure.error).__name__,
            f" at {place}" if place else "",
        )

    def _stop(self, work: Work, step: StepRunner, error: Exception, why: str) -> None:
        record, (topic, partition) = work.record, work.partition.name
        place = f"{topic}[{partition}] at offset {record.offset}"
        told = (
            f"stage {step.stage_id!r} of pipeline {step.pipeline!r} stopped, because {why}:"
            f" {type(error).__name__} in record {place}"
        )
        stopped = StageStoppedError(
            f"{told}: {describe(error)}",
            for_logs=f"{told}: {sentence_of(error) or f'raised at {place_of(error)}'}",
            stage_id=step.stage_id,
            partition=work.partition.name,
            offset=record.offset,
            original_error=error,
        )
        stopped.__cause__ = error
        step.tell(work, PipelineStatus.FAILED, flows_on=False)
        self._on_stop(stopped)


def _count(step: StepRunner, error: Exception, at: float) -> None:
    metrics = step.metrics
    kind = type(error)
    if metrics.last_errors.wants(kind, at):
        cause = fingerprint(step.stage_id, error)
        metrics.last_errors.add(LastError(at, kind.__qualname__, cause))
    if isinstance(error, TimeoutError):
        metrics.timeouts += 1
    if whose_fault(error) is not Fault.RECORD:
        metrics.blamed_attempts += 1


def _original_of(work: Work, step: StepRunner) -> tuple[bytes | None, bytes | None, Headers] | None:
    """Key, value and headers of what has failed.

    For a fused step, those that a topic before it would have held for its input; `None` if that
    cannot be encoded.
    """
    record, item = work.record, work.item
    if item is None or not step.index:
        return record.key, record.value, record.headers
    try:
        return item.key, step.encode_input(item), item.headers
    except Exception:  # noqa: BLE001 - encoding may run code of the user, which may raise anything
        return None
