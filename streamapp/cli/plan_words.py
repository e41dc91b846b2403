"""Policies, breakers and budgets in words."""

from collections.abc import Iterator

from streamapp.pipeline.batching import Batching
from streamapp.pipeline.outline import HoldOutline, PolicyOutline
from streamapp.pipeline.stage import AfterHold
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import BeyondBudget, DeadLetterBudget
from streamapp.policies.delays import delay_name
from streamapp.policies.policy import ErrorPolicy

_ACTIONS = {
    ErrorPolicy.STOP: "stop the stage",
    ErrorPolicy.SKIP: "pass the record on unchanged",
    ErrorPolicy.DEAD_LETTER: "dead letter",
    ErrorPolicy.DROP: "drop the record",
}


def batching_words(batching: Batching) -> str:
    """When an agent is called with several records."""
    size = "1 record" if batching.size == 1 else f"{batching.size} records"
    if not batching.linger_seconds:
        return f"of up to {size}, of what is there"
    return f"of up to {size}; the first waits up to {batching.linger_seconds:g} s for others"


def policy_words(policy: PolicyOutline) -> str:
    """What happens to a record that failed, without other policies for single exceptions."""
    return "; then ".join(_policy_parts(policy))


def _policy_parts(policy: PolicyOutline) -> Iterator[str]:
    if policy.retries and policy.backoff is not None:
        waits = policy.backoff
        if policy.retries == 1:
            yield f"1 retry after a wait of up to {waits.longest_delay_seconds(1):g} s"
        else:
            yield (
                f"{policy.retries} retries after waits of up to {waits.base_seconds:g} s, each"
                f" {waits.factor:g} times as long up to {waits.max_seconds:g} s"
            )
    if policy.delays_seconds:
        delays = ", ".join(delay_name(seconds) for seconds in policy.delays_seconds)
        again = "the same again" if policy.retries else "another attempt"
        yield f"{again} after each wait in a retry topic: {delays}"
    yield _ACTIONS[policy.action if policy.then is None else policy.then]


def hold_words(hold: HoldOutline | None) -> str:
    """When records are held and how long."""
    if hold is None:
        return "not held; each failure is one of its record"
    breaker = hold.breaker
    words = (
        f"held when {', or when '.join(_openings(breaker))}; probes every"
        f" {breaker.first_probe_seconds:g} to {breaker.longest_probe_seconds:g} s,"
        f" {breaker.successes_to_close} that succeed end it"
    )
    if hold.max_hold_seconds is None:
        return words
    stops = hold.after_hold is AfterHold.STOP
    after = "the stage stops" if stops else "the policy decides"
    return f"{words}; after {hold.max_hold_seconds:g} s {after}"


def _openings(breaker: BreakerConfig) -> Iterator[str]:
    within = f"in {breaker.window_seconds:g} s"
    yield (
        f"{breaker.consecutive_failures} calls in a row or {_percent(breaker.error_rate)} of at"
        f" least {breaker.minimum_calls} {within} fail through the world's fault"
    )
    yield (
        f"more than {_percent(breaker.distinct_share)} of at least {breaker.distinct_keys} keys"
        f" {within} fail with unknown errors"
    )
    if breaker.slow_seconds is not None and breaker.slow_rate is not None:
        share = _percent(breaker.slow_rate)
        yield f"{share} of the successes {within} take {breaker.slow_seconds:g} s or longer"
    if breaker.validation_rate is not None:
        yield f"{_percent(breaker.validation_rate)} of the calls {within} fail by their records"


def budget_words(budget: DeadLetterBudget | None) -> str:
    """How many dead letters are too many, and what happens then."""
    limits = list(_limits(budget)) if budget is not None else []
    if budget is None or not limits:
        return "any number of them"
    then = "stop" if budget.then is BeyondBudget.STOP else "hold"
    return f"{then} beyond {' or '.join(limits)}"


def _limits(budget: DeadLetterBudget) -> Iterator[str]:
    if budget.share is not None:
        yield (
            f"{_percent(budget.share)} of at least {budget.minimum_records} records in"
            f" {budget.window_seconds:g} s"
        )
    if budget.per_minute is not None:
        yield f"{budget.per_minute} a minute"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
