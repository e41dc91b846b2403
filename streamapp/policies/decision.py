"""The decision about a failed record: retry now or later, skip, drop, dead-letter or stop."""

import random
from dataclasses import dataclass

from streamapp.errors import DecodeError, KeyGivenUpError, Permanent, RecordError
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.policy import ErrorPolicy, Policy
from streamapp.structs import validation_error


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a record that just failed.

    Attributes:
        action: `RETRY` or `RETRY_LATER` for another attempt, else how the record ends.
        delay_seconds: wait before the next attempt.
        reason: reason for a dead letter, in its header and its metric.
    """

    action: ErrorPolicy
    delay_seconds: float
    reason: DeadLetterReason


def decide(
    policy: Policy, error: Exception, failures: int, rng: random.Random, *, delays_used: int = 0
) -> Decision:
    """Decide about a record whose `failures`-th attempt just failed with `error`.

    A record that does not decode is never retried or skipped. A failure that is the record's fault
    is never retried.

    Args:
        policy: the policy of the stage.
        error: why the attempt failed.
        failures: how many attempts have failed since the record was read, or came back from a
            retry topic.
        rng: draws the wait before the next attempt.
        delays_used: how often it has waited in a retry topic.
    """
    policy = policy.for_error(error)
    if policy.is_retry and whose_fault(error) is not Fault.RECORD:
        if failures <= policy.retries:
            delay_seconds = policy.backoff.delay_seconds(failures, rng)
            return Decision(ErrorPolicy.RETRY, delay_seconds, DeadLetterReason.EXHAUSTED)
        if delays_used < len(policy.delays_seconds):
            delay_seconds = policy.delays_seconds[delays_used]
            return Decision(ErrorPolicy.RETRY_LATER, delay_seconds, _reason(error, retried=True))
    return final_decision(policy, error)


def final_decision(policy: Policy, error: Exception) -> Decision:
    """How a record ends that is not retried, or not any more."""
    policy = policy.for_error(error)
    action = policy.last_action
    if isinstance(error, DecodeError) and action is ErrorPolicy.SKIP:
        action = ErrorPolicy.DEAD_LETTER
    retried = policy.is_retry and bool(policy.retries or policy.delays_seconds)
    return Decision(action, 0.0, _reason(error, retried=retried))


def _reason(error: Exception, *, retried: bool) -> DeadLetterReason:
    if isinstance(error, DecodeError):
        return DeadLetterReason.DECODE
    if isinstance(error, KeyGivenUpError):
        return DeadLetterReason.BACKLOG
    if isinstance(error, Permanent) or validation_error(error) is not None:
        return DeadLetterReason.PERMANENT
    if isinstance(error, RecordError):
        return DeadLetterReason.OUTPUT
    if isinstance(error, TimeoutError):
        return DeadLetterReason.TIMEOUT
    return DeadLetterReason.EXHAUSTED if retried else DeadLetterReason.FAILED
