"""What is decided about one failed attempt."""

import random

import pytest

from streamapp.errors import DecodeError, KeyGivenUpError
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.policies.backoff import Backoff
from streamapp.policies.decision import Decision, decide
from streamapp.policies.policy import ErrorPolicy, Policy, dead_letter, drop, retry, skip, stop


def decision(policy: Policy, error: Exception, failures: int = 1) -> Decision:
    return decide(policy, error, failures, random.Random(1))


@pytest.mark.parametrize("policy", [stop(), skip(), drop(), dead_letter(), retry(0)])
def test_what_ends_a_record_does_not_wait(policy: Policy) -> None:
    assert decision(policy, OSError("down")).delay_seconds == 0.0


def test_the_wait_before_a_retry_is_that_of_its_number() -> None:
    backoff = Backoff(base_seconds=1.0, max_seconds=1000.0)
    for failures in (1, 2, 5):
        waits = decision(retry(9, backoff=backoff), OSError("down"), failures).delay_seconds
        assert waits == backoff.delay_seconds(failures, random.Random(1))


def test_records_behind_a_key_that_was_given_up_end_for_that_reason() -> None:
    given_up = decision(retry(3), KeyGivenUpError("the key waited too long"))
    assert given_up.action is ErrorPolicy.DEAD_LETTER
    assert given_up.reason is DeadLetterReason.BACKLOG


def test_only_bytes_that_do_not_decode_are_kept_from_being_skipped() -> None:
    assert decision(skip(), OSError("down")).action is ErrorPolicy.SKIP
    assert decision(skip(), DecodeError("bad")).action is ErrorPolicy.DEAD_LETTER
