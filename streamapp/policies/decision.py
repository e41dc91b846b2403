"""The decision about a failed record: retry, skip, drop, dead-letter or stop."""

import random
from dataclasses import dataclass

from pydantic import ValidationError

from streamapp.errors import DecodeError, KeyGivenUpError, Permanent, RecordError
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.policy import ErrorPolicy, Policy


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a record that just failed.

    Attributes:
        action: `RETRY` for another attempt, else how the record ends.
        delay_seconds: wait before the next attempt.
        reason: reason for a dead letter, in its header and its metric.
    """

    action: ErrorPolicy
    delay_seconds: float
    reason: DeadLetterReason


def decide(policy: Policy, error: Exception, failures: int, rng: random.Random) -> Decision:
    """Decide about a record whose `failures`-th attempt just failed with `error`.

    A record that does not decode is never retried or skipped. A failure that is the record's fault
    is never retried.
    """
    policy = policy.for_error(error)
    retrying = policy.action is ErrorPolicy.RETRY
    if retrying and failures <= policy.retries and whose_fault(error) is not Fault.RECORD:
        delay_seconds = policy.backoff.delay_seconds(failures, rng)
        return Decision(ErrorPolicy.RETRY, delay_seconds, DeadLetterReason.EXHAUSTED)
    action = policy.last_action
    if isinstance(error, DecodeError) and action is ErrorPolicy.SKIP:
        action = ErrorPolicy.DEAD_LETTER
    return Decision(action, 0.0, _reason(error, retried=retrying and policy.retries > 0))


def _reason(error: Exception, *, retried: bool) -> DeadLetterReason:
    if isinstance(error, DecodeError):
        return DeadLetterReason.DECODE
    if isinstance(error, KeyGivenUpError):
        return DeadLetterReason.BACKLOG
    if isinstance(error, (Permanent, ValidationError)):
        return DeadLetterReason.PERMANENT
    if isinstance(error, RecordError):
        return DeadLetterReason.OUTPUT
    if isinstance(error, TimeoutError):
        return DeadLetterReason.TIMEOUT
    return DeadLetterReason.EXHAUSTED if retried else DeadLetterReason.FAILED
