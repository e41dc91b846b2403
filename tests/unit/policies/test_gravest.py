"""Of several errors that were raised together, the gravest decides."""

import pytest

from streamapp.errors import Permanent, Transient
from streamapp.policies.gravest import as_failure, gravest
from streamapp.policies.policy import drop, retry

POLICY = retry(3).on({KeyError: drop()})


def group(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("unhandled errors in a TaskGroup", errors)


@pytest.mark.parametrize(
    ("errors", "decides"),
    [
        ((OSError("1"), ValueError("2"), KeyError("3"), Permanent("4")), "Permanent('4')"),
        ((OSError("1"), ValueError("2"), KeyError("3")), "KeyError('3')"),
        ((OSError("1"), ValueError("2")), "ValueError('2')"),
        ((Transient("1"), TimeoutError("2")), "Transient('1')"),
        ((ValueError("1"), ValueError("2")), "ValueError('1')"),
        ((group(OSError("1"), group(Permanent("2"))), KeyError("3")), "Permanent('2')"),
        ((group(group(ValueError("1"))), ValueError("2")), "ValueError('1')"),
        ((ValueError("1"), group(ValueError("2")), Permanent("3")), "Permanent('3')"),
    ],
)
def test_the_gravest_error_of_a_group_decides(
    errors: tuple[BaseException, ...], decides: str
) -> None:
    assert repr(gravest(as_failure(group(*errors)), POLICY)) == decides


def test_a_single_error_is_left_as_it_is() -> None:
    error = ValueError("1")
    assert gravest(as_failure(error), POLICY) is error


def test_what_is_no_exception_in_a_group_is_an_error_of_the_agent_and_hides_no_other() -> None:
    assert repr(gravest(as_failure(group(SystemExit(1))), POLICY)) == (
        "RuntimeError('the agent raised SystemExit')"
    )
    assert repr(gravest(as_failure(group(SystemExit(1), Permanent("2"))), POLICY)) == (
        "Permanent('2')"
    )


def test_a_group_as_deep_as_a_hostile_agent_likes_does_not_end_the_worker() -> None:
    error: Exception = ValueError("innermost")
    for _ in range(10_000):
        error = ExceptionGroup("another", [error])
    assert repr(gravest(as_failure(error), POLICY)) == "ValueError('innermost')"
