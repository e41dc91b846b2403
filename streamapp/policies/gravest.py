"""The error that decides, of several that were raised together."""

from collections.abc import Iterator
from itertools import islice
from typing import cast

from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.policy import Policy

NOT_OF_THE_AGENT = (KeyboardInterrupt, GeneratorExit)
"""Exceptions that end the process or the coroutine; all others are failures of the attempt."""

_MAX_ERRORS = 100
"""Errors of a group that are looked at: a fan-out over thousands of calls may fail in each."""


def as_failure(raised: BaseException) -> Exception:
    """What an agent raised, as an error that a policy can decide about."""
    if tells_its_class(raised) and isinstance(raised, Exception):
        return raised
    if issubclass(type(raised), BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", raised)
        return ExceptionGroup(group.message, list(islice(_leaves(group), _MAX_ERRORS)))
    error = RuntimeError(f"the agent raised {type(raised).__name__}")
    error.__cause__ = raised
    return error


def gravest(error: Exception, policy: Policy) -> Exception:
    """The error itself, or of a group, as `asyncio.TaskGroup` raises it, the gravest in it.

    The record's own fault is the gravest, since no retry helps. Then comes an error that the policy
    has a rule for, then any other, and last one that is the world's fault. Of equals, the first.
    """
    if not isinstance(error, ExceptionGroup):
        return error
    return min(islice(_leaves(error), _MAX_ERRORS), key=lambda one: _rank(one, policy))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[Exception]:
    """The errors in a group and in the groups in it, in their order."""
    left = [group.exceptions]
    while left:
        for i, error in enumerate(errors := left.pop()):
            if isinstance(error, BaseExceptionGroup):
                left += [errors[i + 1 :], error.exceptions]
                break
            yield as_failure(error)


def _rank(error: Exception, policy: Policy) -> int:
    fault = whose_fault(error)
    if fault is Fault.RECORD:
        return 0
    if policy.for_error(error) is not policy:
        return 1
    return 3 if fault is Fault.WORLD else 2


def tells_its_class(raised: BaseException) -> bool:
    """Whether policies can ask of what type it is; a user's own `__class__` may raise."""
    try:
        return raised.__class__ is not None
    except Exception:  # noqa: BLE001 - the same
        return False
