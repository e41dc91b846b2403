"""Policies: what becomes of a failure."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from streamapp.errors import (
    DecodeError,
    EncodeError,
    Permanent,
    PipelineError,
    RecordTooLargeError,
    Transient,
)
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.policies.backoff import Backoff
from streamapp.policies.decision import decide
from streamapp.policies.describe import MAX_MESSAGE_BYTES, describe
from streamapp.policies.policy import (
    ErrorPolicy,
    Policy,
    dead_letter,
    drop,
    retry,
    skip,
    stop,
)
from tests.typing.shapes import A


def decided(policy: Policy, error: Exception, failures: int = 1) -> ErrorPolicy:
    return decide(policy, error, failures, random.Random(1)).action


def test_retry_tries_again_as_often_as_it_says_and_then_does_what_follows() -> None:
    policy = retry(2, then=drop())
    outcomes = [decided(policy, OSError("down"), failures) for failures in (1, 2, 3)]
    assert outcomes == [ErrorPolicy.RETRY, ErrorPolicy.RETRY, ErrorPolicy.DROP]


def test_exhausted_retries_end_in_a_dead_letter_unless_declared_otherwise() -> None:
    decision = decide(retry(1), OSError("down"), 2, random.Random(1))
    assert (decision.action, decision.reason) == (
        ErrorPolicy.DEAD_LETTER,
        DeadLetterReason.EXHAUSTED,
    )


@pytest.mark.parametrize("error", [Permanent("x"), EncodeError("x"), RecordTooLargeError("x")])
def test_what_is_the_records_fault_is_not_tried_again(error: Exception) -> None:
    assert decided(retry(3), error) is ErrorPolicy.DEAD_LETTER


@pytest.mark.parametrize("error", [Transient("x"), TimeoutError(), KeyError("x")])
def test_other_failures_are_tried_again(error: Exception) -> None:
    assert decided(retry(3), error) is ErrorPolicy.RETRY


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        (retry(3), ErrorPolicy.DEAD_LETTER),
        (retry(3, then=skip()), ErrorPolicy.DEAD_LETTER),
        (skip(), ErrorPolicy.DEAD_LETTER),
        (drop(), ErrorPolicy.DROP),
        (stop(), ErrorPolicy.STOP),
    ],
)
def test_undecodable_bytes_are_never_retried_or_skipped(
    policy: Policy, action: ErrorPolicy
) -> None:
    assert decided(policy, DecodeError("bad")) is action


def test_a_policy_for_an_exception_type_beats_the_stages_own_and_its_base_type() -> None:
    policy = dead_letter().on({LookupError: drop(), KeyError: retry(1)})
    assert decided(policy, KeyError("x")) is ErrorPolicy.RETRY
    assert decided(policy, IndexError("x")) is ErrorPolicy.DROP
    assert decided(policy, OSError("x")) is ErrorPolicy.DEAD_LETTER


def test_a_policy_keeps_all_it_says_when_exceptions_are_added() -> None:
    backoff = Backoff(base_seconds=7, factor=3, max_seconds=50)
    own = retry(5, then=drop(), backoff=backoff)
    extended = own.on({KeyError: skip()})
    assert (extended.action, extended.retries, extended.then) == (own.action, 5, ErrorPolicy.DROP)
    assert extended.backoff == backoff
    assert own.by_exception == ()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DecodeError("x"), DeadLetterReason.DECODE),
        (Permanent("x"), DeadLetterReason.PERMANENT),
        (TimeoutError(), DeadLetterReason.TIMEOUT),
        (RecordTooLargeError("x"), DeadLetterReason.OUTPUT),
        (ZeroDivisionError(), DeadLetterReason.FAILED),
    ],
)
def test_a_dead_letter_says_why(error: Exception, reason: DeadLetterReason) -> None:
    assert decide(dead_letter(), error, 1, random.Random(1)).reason is reason


@pytest.mark.parametrize(
    ("policy", "failures"),
    [(retry(2), 3), (retry(2, then=drop()), 3), (dead_letter().on({Exception: retry(1)}), 2)],
    ids=["retry", "then", "on"],
)
@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (TimeoutError(), DeadLetterReason.TIMEOUT),
        (OSError("down"), DeadLetterReason.EXHAUSTED),
        (Transient("busy"), DeadLetterReason.EXHAUSTED),
        (Permanent("x"), DeadLetterReason.PERMANENT),
        (RecordTooLargeError("x"), DeadLetterReason.OUTPUT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_the_reason_after_retries_is_that_of_the_last_attempt(
    policy: Policy, failures: int, last: Exception, reason: DeadLetterReason
) -> None:
    decision = decide(policy, last, failures, random.Random(1))
    assert decision.action is not ErrorPolicy.RETRY
    assert decision.reason is reason


def test_a_retry_that_gives_no_other_attempt_has_not_exhausted_any() -> None:
    assert decide(retry(0), OSError(), 1, random.Random(1)).reason is DeadLetterReason.FAILED


def test_retrying_after_retrying_is_refused() -> None:
    with pytest.raises(ValueError, match="not retry"):
        retry(1, then=retry(1))


def test_a_negative_retry_count_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        retry(-1)


@given(retry_number=st.integers(1, 10_000), seed=st.integers())
def test_a_wait_never_exceeds_its_ceiling(retry_number: int, seed: int) -> None:
    backoff = Backoff(base_seconds=0.1, factor=2.0, max_seconds=5.0)
    delay = backoff.delay_seconds(retry_number, random.Random(seed))
    assert 0 <= delay <= min(5.0, 0.1 * 2.0 ** min(retry_number - 1, 64))


def test_waits_spread_over_the_whole_range() -> None:
    backoff = Backoff(base_seconds=1.0, factor=2.0, max_seconds=4.0)
    rng = random.Random(7)
    delays = [backoff.delay_seconds(3, rng) for _ in range(2000)]
    assert min(delays) < 0.05
    assert max(delays) > 3.95


def test_a_validation_error_is_described_without_the_input() -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(A).validate_json(b'{"n": "secret-value"}')
    assert "secret-value" not in describe(raised.value)
    assert describe(raised.value).startswith("n: ")


class Seven(BaseModel):
    a: int
    b: int
    c: int
    d: int
    e: int
    f: int
    g: int


@pytest.mark.parametrize(
    ("given", "more"),
    [({"g": 1}, "; and 1 more"), ({}, "; and 2 more"), ({"f": 1, "g": 1}, "")],
)
def test_of_many_faults_five_are_told_and_the_others_counted(
    given: dict[str, int], more: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        Seven.model_validate(given)
    told = describe(raised.value)
    assert told == "; ".join(f"{name}: Field required" for name in "abcde") + more


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("first\nsecond", "first"),
        (" one \n", "one"),
        ("", "ArithmeticError"),
        ("\nsecond", "second"),
        ("\n \n", "ArithmeticError"),
    ],
)
def test_an_error_is_told_by_the_first_line_of_its_message_or_by_its_class(
    message: str, told: str
) -> None:
    assert describe(ArithmeticError(message)) == told


def test_a_long_message_is_cut_to_its_bound() -> None:
    assert len(describe(RuntimeError("ä" * 5000)).encode()) <= MAX_MESSAGE_BYTES


def slips(count: Any = 0, *, then: Any = None, on: Any = None) -> Policy:
    """What somebody writes whom no type checker helps."""
    return retry(count, then=then).on(on or {})


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        (lambda: slips(then=drop), r"retry\(then=…\) is the function drop; call it; give stop"),
        (lambda: slips(then="deadletter"), r"retry\(then=…\) is 'deadletter'; give stop\(\)"),
        (lambda: slips("3"), r"retry\('3'\) is not a number of retries; give a whole number"),
        (lambda: slips(on={KeyError: drop}), r"gives KeyError the function drop; call it"),
        (lambda: slips(on={KeyError: "drop"}), r"gives KeyError 'drop'; give stop\(\)"),
        (lambda: slips(on={"KeyError": drop()}), r"has the key 'KeyError'; give an exception"),
    ],
)
def test_a_slip_in_a_policy_is_refused_when_it_is_made(slip: Any, told: str) -> None:
    with pytest.raises(PipelineError, match=told):
        slip()


def test_an_action_may_be_named_by_its_value() -> None:
    assert slips(then="drop").then is ErrorPolicy.DROP
