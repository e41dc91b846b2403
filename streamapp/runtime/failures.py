"""What becomes of a failed attempt: the policy decides, this carries it out."""

import logging
from collections.abc import Callable

from streamapp.errors import KeyGivenUpError, StageStoppedError
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.stage import KeyBacklog, Ordering, StageConfig
from streamapp.policies.decision import decide
from streamapp.policies.describe import describe
from streamapp.policies.policy import ErrorPolicy
from streamapp.record import Headers, Record
from streamapp.runtime.config import Environment
from streamapp.runtime.dead_letters import Failure, error_headers, fingerprint, place_of
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Item, Work

log = logging.getLogger(__name__)

MAX_LOGGED_CAUSES = 100
"""Causes of dead letters that are logged in one run."""


class FailureHandler:
    """Carries out the error policies of a segment.

    Args:
        environment: the clock, the jitter, and the run of the worker.
        config: what the segment does when too many records wait behind one that fails.
        retries: where records wait for their next attempt.
        on_stop: called with the error when a policy says stop; that record is held.
    """

    def __init__(
        self,
        environment: Environment,
        config: StageConfig,
        *,
        retries: RetryQueue,
        on_stop: Callable[[StageStoppedError], None],
    ) -> None:
        self._clock = environment.clock
        self._rng = environment.rng
        self._execution_id = environment.execution_id
        self._max_backlog = config.max_key_backlog_records
        self._bounds_backlog = config.ordering is Ordering.KEY
        self._stops_on_backlog = config.on_key_backlog is KeyBacklog.STOP
        self._retries = retries
        self._logged_causes: set[str] = set()
        self._on_stop = on_stop

    def handle(  # noqa: C901, PLR0911 - one branch for each policy, in one place
        self, work: Work, step: StepRunner, error: Exception
    ) -> bool:
        """Decide about a failed attempt; whether the record goes on with what it has left."""
        if work.partition.closed:
            return False
        if work.failures == 0:
            work.first_failure_at = self._clock.time()
        if isinstance(error, KeyGivenUpError):
            return self._dead_letter(work, step, error, DeadLetterReason.BACKLOG)
        work.failures += 1
        if isinstance(error, TimeoutError):
            step.metrics.timeouts += 1
        decision = decide(step.policy, error, work.failures, self._rng)
        match decision.action:
            case ErrorPolicy.RETRY if work.on_last_attempt:
                return self._give_up_key(work, step, error)
            case ErrorPolicy.RETRY:
                step.metrics.retries += 1
                self._retries.add(work, decision.delay_seconds)
                self.check_backlog(work, len(work.behind or ()))  # they may have come while it ran
                return False
            case ErrorPolicy.SKIP:
                return self._skip(work, step)
            case ErrorPolicy.DROP:
                step.metrics.dropped += 1
                return True
            case ErrorPolicy.DEAD_LETTER:
                return self._dead_letter(work, step, error, decision.reason)
            case ErrorPolicy.STOP:
                self._stop(work, step, error, "its policy says stop")
                return False

    def check_backlog(self, work: Work, waiting: int) -> None:
        """So many records wait behind this one, which has failed and is tried again."""
        if not self._bounds_backlog or work.on_last_attempt or waiting < self._max_backlog:
            return
        work.on_last_attempt = True
        self._retries.retry_now(work)

    def _give_up_key(self, work: Work, step: StepRunner, error: Exception) -> bool:
        """The last attempt of a record failed behind which too many wait."""
        behind = work.behind or ()
        why = f"{len(behind)} records of its key wait behind it"
        if self._stops_on_backlog:
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
        except Exception as error:  # noqa: BLE001 - a user's validator may raise any
            # The unchanged record does not fit where it should go.
            return self._dead_letter(work, step, error, DeadLetterReason.OUTPUT)
        step.metrics.skipped += 1
        return True

    def _dead_letter(
        self, work: Work, step: StepRunner, error: Exception, reason: DeadLetterReason
    ) -> bool:
        record, item = work.record, work.item
        failure = Failure(
            pipeline=step.pipeline,
            stage=step.stage_id,
            error=error,
            reason=reason,
            attempts=work.failures,
            first_failure_at=work.first_failure_at,
            last_failure_at=self._clock.time(),
            execution_id=self._execution_id,
        )
        key, value, headers = record.key, record.value, record.headers
        if item is not None and step.index > 0:
            # A fused step: what the topic in front of it would hold.
            key, value, headers = _what_a_topic_would_hold(step, item, record)
        headers = error_headers(headers, work.partition.name, record, failure)
        target = step.dead_letters
        if not target.takes(key, value, headers):
            self._stop(work, step, error, f"its dead letter does not fit into {target.name!r}")
            return False
        letter = (target, key, value, headers)
        work.outputs = [letter] if work.outputs is None else [*work.outputs, letter]
        work.dead_letters = [*(work.dead_letters or ()), (step.metrics, reason)]
        step.metrics.dead_lettered += 1
        self._log_first_of_cause(failure, target.name)
        return True

    def _log_first_of_cause(self, failure: Failure, topic: str) -> None:
        """Log the first dead letter of each cause; the others are counted."""
        cause = fingerprint(failure.stage, failure.error)
        if cause in self._logged_causes or len(self._logged_causes) >= MAX_LOGGED_CAUSES:
            return
        self._logged_causes.add(cause)
        log.warning(
            "stage %s of %s: a first dead letter of this cause (%s, %s) goes to %s: %s at %s",
            failure.stage,
            failure.pipeline,
            failure.reason,
            cause,
            topic,
            type(failure.error).__name__,
            place_of(failure.error) or "an unknown place",
        )

    def _stop(self, work: Work, step: StepRunner, error: Exception, why: str) -> None:
        record, (topic, partition) = work.record, work.partition.name
        place = f"{topic}[{partition}] at offset {record.offset}"
        stopped = StageStoppedError(
            f"stage {step.stage_id!r} of pipeline {step.pipeline!r} stopped, because {why}:"
            f" {type(error).__name__} in record {place}: {describe(error)}",
            stage_id=step.stage_id,
            partition=work.partition.name,
            offset=record.offset,
            original_error=error,
        )
        stopped.__cause__ = error
        self._on_stop(stopped)


def _what_a_topic_would_hold(
    step: StepRunner, item: Item, record: Record
) -> tuple[bytes | None, bytes | None, Headers]:
    """The input of a fused step as a topic in front of it would; as it was read, if it cannot."""
    try:
        return item.key, step.encode_input(item), item.headers
    except Exception:  # noqa: BLE001 - a value that no topic could have held
        return record.key, record.value, record.headers
