"""Policies as users put them together."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from streamapp.errors import PipelineError
from streamapp.policies.backoff import Backoff
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


def test_retry_alone_gives_three_more_attempts_and_then_a_dead_letter() -> None:
    assert (retry().retries, retry().then) == (3, ErrorPolicy.DEAD_LETTER)


@pytest.mark.parametrize("policy", [stop(), skip(), drop(), dead_letter()])
def test_other_policies_try_once(policy: Policy) -> None:
    assert policy.retries == 0


def test_retry_keeps_the_waits_that_it_was_given() -> None:
    assert retry(1, backoff=Backoff(7.0)).backoff == Backoff(7.0)


def test_policies_for_exceptions_keep_everything_else_of_the_policy() -> None:
    policy = retry(2, then=drop(), backoff=Backoff(7.0)).on({KeyError: skip()})
    assert policy.for_error(OSError()).retries == 2
    assert (policy.then, policy.backoff) == (ErrorPolicy.DROP, Backoff(7.0))
    assert policy.for_error(KeyError()) == skip()


@pytest.mark.parametrize("policy", [stop(), skip(), drop(), dead_letter()])
def test_a_policy_uses_its_own_action_and_no_other(policy: Policy) -> None:
    assert [action for action in ErrorPolicy if policy.uses(action)] == [policy.action]


def test_a_policy_uses_what_follows_retries_and_what_its_exceptions_ask_for() -> None:
    policy = retry(1, then=stop()).on({KeyError: skip(), OSError: retry(2, then=drop())})
    used = {action for action in ErrorPolicy if policy.uses(action)}
    assert used == {ErrorPolicy.STOP, ErrorPolicy.SKIP, ErrorPolicy.DROP}


@dataclass
class Callable_:  # noqa: N801 - an object that can be called and has no name
    def __call__(self) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        return "<no policy>"


def test_what_is_given_in_place_of_a_policy_is_shown() -> None:
    with pytest.raises(PipelineError, match="gives KeyError <no policy>; give stop"):
        dead_letter().on({KeyError: Callable_()})  # type: ignore[dict-item]  # a user's slip
    named = type("Named", (), {"__name__": "spare", "__repr__": lambda _: "<named>"})()
    with pytest.raises(PipelineError, match="gives KeyError <named>; give stop"):
        dead_letter().on({KeyError: named})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            lambda: retry(3, backoff=2),  # type: ignore[arg-type]  # a user's slip
            "retry(): backoff is 2; give Backoff(base_seconds=2)",
        ),
        (
            lambda: retry(3, backoff=0),  # type: ignore[arg-type]  # the same
            "retry(): backoff is 0; give Backoff(base_seconds=0)",
        ),
        (
            lambda: retry(3, backoff="long"),  # type: ignore[arg-type]  # the same
            "retry(): backoff is 'long'; give Backoff(base_seconds=0.1)",
        ),
        (
            lambda: retry(3).on([drop()]),  # type: ignore[arg-type]  # the same
            ".on() was given [Policy(",
        ),
        (
            lambda: retry(3).on(KeyError),  # type: ignore[arg-type]  # the same
            "give a mapping, as in .on({KeyError: drop()})",
        ),
        (
            lambda: retry_later(10, 60),  # type: ignore[arg-type]  # the same
            "retry_later(10, 60): delays are a list; write retry_later([10, 60])",
        ),
    ],
)
def test_an_argument_of_another_kind_is_told_when_the_policy_is_made(
    wrong: Callable[[], Policy], told: str
) -> None:
    with pytest.raises(PipelineError, match=re.escape(told)):
        wrong()


@pytest.mark.parametrize(
    "declare",
    [
        lambda: retry(3, then=skip().on({KeyError: drop()})),
        lambda: retry(3, then=retry_later([1]).on({KeyError: drop()})),
        lambda: retry_later([1], then=skip().on({KeyError: drop()})),
        lambda: dead_letter().on({OSError: skip().on({KeyError: drop()})}),
    ],
    ids=["retry", "retry, then later", "retry_later", "on"],
)
def test_exceptions_of_a_policy_within_another_one_are_refused(
    declare: Callable[[], Policy],
) -> None:
    with pytest.raises(PipelineError, match=r"a policy with \.on\(…\) of its own.* no effect"):
        declare()
