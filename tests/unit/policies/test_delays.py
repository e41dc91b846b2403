"""Later retries as users put them together, and what is decided with them."""

import random
from datetime import timedelta
from typing import Any

import pytest

from streamapp.errors import DecodeError, Permanent, PipelineError
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.stage import StageConfig
from streamapp.policies.backoff import Backoff
from streamapp.policies.decision import Decision, decide
from streamapp.policies.delays import delay_name
from streamapp.policies.policy import (
    ErrorPolicy,
    Policy,
    dead_letter,
    drop,
    retry,
    retry_later,
    skip,
    stop,
)

WRONG: Any = 7
DEAD, DROP = ErrorPolicy.DEAD_LETTER, ErrorPolicy.DROP


def decided(policy: Policy, error: Exception, failures: int, used: int) -> Decision:
    return decide(policy, error, failures, random.Random(1), delays_used=used)


def test_delays_are_seconds_or_timedeltas_and_a_dead_letter_follows() -> None:
    policy = retry_later([0.5, 10, timedelta(minutes=1)])
    assert (policy.action, policy.retries) == (ErrorPolicy.RETRY_LATER, 0)
    assert (policy.delays_seconds, policy.then) == ((0.5, 10.0, 60.0), DEAD)
    assert policy.last_action is DEAD


@pytest.mark.parametrize("end", [stop(), skip(), drop(), dead_letter()])
def test_what_follows_the_last_delay_can_be_said(end: Policy) -> None:
    assert retry_later([1], then=end).last_action is end.action
    assert retry(2, then=retry_later([1], then=end)).last_action is end.action


def test_retries_at_once_come_before_the_delays() -> None:
    policy = retry(2, then=retry_later([10, 60], then=drop()), backoff=Backoff(7.0))
    assert (policy.action, policy.retries, policy.then) == (ErrorPolicy.RETRY, 2, DROP)
    assert (policy.delays_seconds, policy.backoff) == ((10.0, 60.0), Backoff(7.0))


@pytest.mark.parametrize(
    ("delays", "why"),
    [
        ([10, 5], "delays not ascending: 5 s follows 10 s"),
        ([10, 10], "delays not ascending: 10 s follows 10 s"),
        ([], "there are 0 delays"),
        (range(1, 12), "there are 11 delays; give at least one and at most 10"),
        ([0], "a delay of 0 s; give finite ones above zero"),
        ([-1.0], "a delay of -1.0 s"),
        ([float("inf")], "a delay of inf s"),
        ([float("nan")], "a delay of nan s"),
        ([timedelta(days=8)], r"longer than 604800 s \(7 days\)"),
        ([0.0015], "parts of a millisecond"),
        (["10s"], "the delay '10s' is no number"),
        ([True], "the delay True is no number"),
        (10, r"retry_later\(10\): delays are a list"),
        ("10", "delays are a list"),
    ],
)
def test_wrong_delays_are_refused_in_one_sentence(delays: Any, why: str) -> None:
    with pytest.raises(PipelineError, match=why) as raised:
        retry_later(delays)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: retry_later([1], then=retry(3)), "not another retry"),
        (lambda: retry_later([1], then=retry_later([1])), "not another retry"),
        (lambda: retry_later([1], then=WRONG), r"retry_later\(then=…\) is 7; give stop"),
        (lambda: retry(then=ErrorPolicy.RETRY_LATER), "retry_later has no delays"),
        (lambda: StageConfig(error_policy=ErrorPolicy.RETRY_LATER), "retry_later has no delays"),
        (lambda: Policy(ErrorPolicy.SKIP, delays_seconds=(1.0,)), "skip has delays"),
        (lambda: StageConfig(delays_seconds=(2.0, 1.0)), "not ascending"),
    ],
)
def test_what_does_not_belong_together_is_refused(make: Any, why: str) -> None:
    with pytest.raises(PipelineError, match=why):
        make()


@pytest.mark.parametrize(
    "policy", [retry_later([1, 2]), retry(2, then=retry_later([3], then=drop())), retry(1)]
)
def test_a_stage_keeps_its_policy(policy: Policy) -> None:
    assert StageConfig().with_policy(policy).policy == policy


def test_a_record_goes_from_one_delay_to_the_next_and_then_ends() -> None:
    policy = retry_later([10, 60])
    found = [decided(policy, ValueError("no"), 1, used) for used in range(3)]
    assert [(one.action, one.delay_seconds) for one in found] == [
        (ErrorPolicy.RETRY_LATER, 10.0),
        (ErrorPolicy.RETRY_LATER, 60.0),
        (DEAD, 0.0),
    ]
    assert found[-1].reason is DeadLetterReason.EXHAUSTED


def test_each_time_it_is_retried_at_once_first() -> None:
    policy = retry(2, then=retry_later([10]))
    for used, last in ((0, ErrorPolicy.RETRY_LATER), (1, DEAD)):
        actions = [decided(policy, OSError("no"), n, used).action for n in (1, 2, 3)]
        assert actions == [ErrorPolicy.RETRY, ErrorPolicy.RETRY, last]


@pytest.mark.parametrize("error", [Permanent("never"), DecodeError("bad")])
def test_the_records_fault_is_not_retried_later(error: Exception) -> None:
    assert decided(retry_later([10], then=drop()), error, 1, 0).action is DROP
    skipped = decided(retry_later([10], then=skip()), error, 1, 0).action
    assert skipped is (DEAD if isinstance(error, DecodeError) else ErrorPolicy.SKIP)


def test_an_exception_has_delays_of_its_own_and_all_have_topics() -> None:
    policy = retry_later([10, 60]).on({KeyError: retry_later([5, 60]), OSError: drop()})
    assert decided(policy, KeyError("k"), 1, 0).delay_seconds == 5
    assert decided(policy, KeyError("k"), 1, 1).delay_seconds == 60
    assert decided(policy, OSError("k"), 1, 0).action is DROP
    assert policy.all_delays_seconds == (5.0, 10.0, 60.0)
    assert policy.delays_seconds == (10.0, 60.0)


@pytest.mark.parametrize(
    ("policy", "holds"),
    [
        (retry_later([1]), True),
        (retry_later([1], then=drop()), True),
        (drop(), False),
        (drop().on({OSError: retry_later([1])}), True),
        (retry_later([1]).on({OSError: dead_letter()}), False),
        (dead_letter(), True),
    ],
)
def test_an_outage_holds_what_would_wait_in_a_topic(policy: Policy, holds: bool) -> None:
    assert policy.holds_after(OSError("down")) is holds


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        (10, "10s"),
        (60, "1m"),
        (600, "10m"),
        (90, "90s"),
        (3600, "1h"),
        (129_600, "36h"),
        (86_400, "1d"),
        (0.5, "500ms"),
        (1.001, "1001ms"),
    ],
)
def test_a_delay_has_a_name_in_its_largest_whole_unit(seconds: float, name: str) -> None:
    assert delay_name(seconds) == name
