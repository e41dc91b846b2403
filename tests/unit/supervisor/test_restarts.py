import random

import pytest

from streamapp.policies.backoff import Backoff
from streamapp.supervisor.restarts import (
    Finished,
    GiveUp,
    Restart,
    RestartPolicy,
    Restarts,
    how_it_ended,
)

HOPELESS = {5: "STAGE_STOPPED"}


class Longest(random.Random):
    """Draws the upper end, so that waits can be told."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 - signature of the base's
        return b


def restarts(*, ends_by_itself: bool = False) -> Restarts:
    policy = RestartPolicy(
        HOPELESS,
        ends_by_itself=ends_by_itself,
        backoff=Backoff(base_seconds=1, factor=2, max_seconds=10),
        steady_seconds=60,
    )
    return Restarts(policy, Longest())


@pytest.mark.parametrize("exit_code", [-9, -11, 1, 4, 6, 8, 70, 0])
def test_a_worker_that_ends_unexpectedly_is_started_again(exit_code: int) -> None:
    again = restarts()
    assert again.decide(exit_code, ran_seconds=1, any_was_up=True) == Restart(1.0)
    assert again.count == 1


def test_waits_double_up_to_the_bound_and_begin_anew_after_a_steady_run() -> None:
    again = restarts()

    def wait_after(ran_seconds: float) -> float:
        follows = again.decide(-9, ran_seconds=ran_seconds, any_was_up=True)
        assert isinstance(follows, Restart)
        return follows.delay_seconds

    assert [wait_after(59.9) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert wait_after(60.0) == 1
    assert wait_after(1.0) == 2
    assert again.count == 8


def test_waits_are_spread_from_zero() -> None:
    again = Restarts(RestartPolicy(backoff=Backoff(10, 1, 10)), random.Random(1))
    waits = []
    for _ in range(50):
        follows = again.decide(-9, ran_seconds=0, any_was_up=True)
        assert isinstance(follows, Restart)
        waits.append(follows.delay_seconds)
    assert min(waits) < 2
    assert max(waits) > 8


def test_what_another_start_would_not_mend_is_given_up_with_its_code() -> None:
    assert restarts().decide(5, ran_seconds=99, any_was_up=True) == GiveUp(5)


def test_before_any_worker_was_up_a_failure_is_told_but_a_kill_is_mended() -> None:
    assert restarts().decide(4, ran_seconds=1, any_was_up=False) == GiveUp(4)
    assert restarts().decide(-9, ran_seconds=1, any_was_up=False) == Restart(1.0)


def test_an_end_without_fault_is_the_end_of_bounded_work_only() -> None:
    bounded = restarts(ends_by_itself=True)
    assert bounded.decide(0, ran_seconds=1, any_was_up=True) == Finished()
    assert bounded.decide(-9, ran_seconds=1, any_was_up=True) == Restart(1.0)


def test_an_end_is_told_in_words() -> None:
    assert how_it_ended(-9) == "was killed by SIGKILL"
    assert how_it_ended(-63) == "was killed by signal 63"
    assert how_it_ended(5, HOPELESS) == "ended with exit code 5 (STAGE_STOPPED)"
    assert how_it_ended(4, HOPELESS) == "ended with exit code 4"


def test_unless_told_otherwise_a_worker_is_steady_after_a_minute_and_never_at_its_end() -> None:
    again = Restarts(RestartPolicy(), Longest())
    assert again.decide(0, ran_seconds=1, any_was_up=True) == Restart(0.5)
    assert again.decide(-9, ran_seconds=59.9, any_was_up=True) == Restart(1.0)
    assert again.decide(-9, ran_seconds=60.0, any_was_up=True) == Restart(0.5)


def test_before_any_worker_was_up_any_exit_code_but_zero_is_told() -> None:
    assert restarts().decide(1, ran_seconds=1, any_was_up=False) == GiveUp(1)
    assert restarts().decide(0, ran_seconds=1, any_was_up=False) == Restart(1.0)


def test_an_end_without_a_fault_is_told_by_its_code() -> None:
    assert how_it_ended(0) == "ended with exit code 0"
