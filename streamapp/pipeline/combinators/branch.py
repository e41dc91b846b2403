"""`branch(agent, …)`: an agent with a timeout, retries and defaults of its own."""

import math
from collections.abc import Callable
from copy import deepcopy
from enum import Enum
from typing import Any, Final, TypeVar, overload

from streamapp.clock import current_clock
from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.combined import combined
from streamapp.pipeline.combinators.copies import copier_for
from streamapp.pipeline.combinators.outages import Outages
from streamapp.pipeline.combinators.part import Part
from streamapp.pipeline.combinators.tasks import Watch, within
from streamapp.pipeline.combinators.types import check_agents
from streamapp.pipeline.context import Context
from streamapp.pipeline.fits import fits
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Results
from streamapp.policies.decision import decide
from streamapp.policies.gravest import gravest
from streamapp.policies.policy import ErrorPolicy, Policy
from streamapp.policies.policy import retry as retry_policy
from streamapp.randomness import current_random

InT = TypeVar("InT")
OutT = TypeVar("OutT")
DefaultT = TypeVar("DefaultT")
NoneT = TypeVar("NoneT")


class Unset(Enum):
    """Marks a value that is not given, where `None` is a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@overload
def branch(
    agent: Agent[InT, OutT],
    *,
    timeout_seconds: float | None = None,
    retry: Policy | None = None,
    name: str | None = None,
) -> Agent[InT, OutT]: ...
@overload
def branch(
    agent: Agent[InT, OutT],
    *,
    timeout_seconds: float | None = None,
    retry: Policy | None = None,
    default: DefaultT,
    name: str | None = None,
) -> Agent[InT, OutT | DefaultT]: ...
@overload
def branch(
    agent: Agent[InT, OutT],
    *,
    timeout_seconds: float | None = None,
    retry: Policy | None = None,
    if_none: NoneT,
    name: str | None = None,
) -> Agent[InT, OutT | NoneT]: ...
@overload
def branch(
    agent: Agent[InT, OutT],
    *,
    timeout_seconds: float | None = None,
    retry: Policy | None = None,
    default: DefaultT,
    if_none: NoneT,
    name: str | None = None,
) -> Agent[InT, OutT | DefaultT | NoneT]: ...
def branch(
    agent: Agent[Any, Any],
    *,
    timeout_seconds: float | None = None,
    retry: Policy | None = None,
    default: Any = UNSET,
    if_none: Any = UNSET,
    name: str | None = None,
) -> Agent[Any, Any]:
    """Give an agent a timeout, retries and defaults of its own, for a branch of `parallel`.

    Args:
        agent: the agent.
        timeout_seconds: deadline of one call, in seconds of the current clock.
        retry: how often it is called again, and how long it waits before: `retry(3)`. A failure
            that is the record's own fault is not tried again.
        default: its output when it has failed for good; without one that fails the attempt.
        if_none: its output when it gives none, which an agent of `X | None` may.
        name: name of the agent; by default that of `agent`.

    Raises:
        PipelineError: the timeout is not above zero, or the agent is a plain function, which
            nothing can interrupt; the policy is no retry, or says what follows; a default is a list
            or an `Out`.
    """
    check_agents("branch()", [agent])
    where = f"branch {agent.name!r}"
    _check_timeout(where, agent, timeout_seconds)
    policy = _checked(where, retry)
    _check_defaults(where, agent, default, if_none)
    defaults = [one for one in (default, if_none) if one is not UNSET]
    output_type = agent.output_type
    for one in defaults:
        output_type = output_type if fits(type(one), output_type) else output_type | type(one)
    run = _run(Part(agent), timeout_seconds, policy, default, if_none)
    found = agent.results
    return combined(
        "branch",
        name or agent.name,
        (agent,),
        run,
        waits=retry is not None,
        input_type=agent.input_type,
        output_type=output_type,
        results=Results(found.none and if_none is UNSET, found.many, found.out),
    )


def _run(
    part: Part, timeout_seconds: float | None, policy: Policy, default: Any, if_none: Any
) -> Callable[..., Any]:
    copy_input = copier_for(part.agent.input_type)
    outages = Outages(f"branch {part.name!r}", "its default is given instead")
    most_retries = max(policy.retries, *(one.retries for _, one in policy.by_exception), 0)

    async def call(value: Any, context: Context | None) -> Any:
        if timeout_seconds is None:
            return await part.result(value, context)
        return await within(timeout_seconds, part.name, lambda: part.result(value, context))

    async def run(value: Any, context: Context | None = None) -> Any:
        watch = Watch()
        failures = 0
        while True:
            given = value if failures == most_retries else copy_input(value)
            try:
                result = await call(given, context)
                part.check_types(result)
            except BaseException as raised:  # noqa: BLE001 - an agent may raise anything
                error = watch.failure(raised, part.name)
                failures += 1
                decision = decide(policy, gravest(error, policy), failures, current_random())
                if decision.action is not ErrorPolicy.RETRY:
                    if default is UNSET:
                        raise error from (None if error is raised else raised)
                    outages.tell(part.name, error)
                    return deepcopy(default)
                wait_seconds = decision.delay_seconds
            else:
                return deepcopy(if_none) if result is None and if_none is not UNSET else result
            await current_clock().sleep(wait_seconds)

    return run


def _check_timeout(where: str, agent: Agent[Any, Any], seconds: object) -> None:
    if seconds is None:
        return
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds < math.inf:  # type: ignore[operator]  # a number by now
        raise PipelineError(f"{where}: timeout_seconds is {seconds!r}; give a number above zero")
    if not agent.is_async:
        raise PipelineError(
            f"{where}: no timeout can interrupt a plain function; drop timeout_seconds, or make the"
            " agent async or blocking"
        )


def _checked(where: str, policy: object) -> Policy:
    """The policy with which a branch is retried.

    Raises:
        PipelineError: it is none, or says what happens when the retries are used up.
    """
    if policy is None:
        return retry_policy(0)
    if not isinstance(policy, Policy):
        raise PipelineError(f"{where}: retry is {policy!r}; give a policy, such as retry(3)")
    for one in (policy, *(one for _, one in policy.by_exception)):
        if one.delays_seconds:
            raise PipelineError(
                f"{where}: a branch cannot retry later, as only a whole record can wait in a topic;"
                " give the stage the policy retry_later"
            )
        if one.action is not ErrorPolicy.RETRY or one.then is not ErrorPolicy.DEAD_LETTER:
            raise PipelineError(
                f"{where}: a branch can only be retried; drop `then`, since what follows is up to"
                " its default or to the policy of the stage"
            )
    return policy


def _check_defaults(where: str, agent: Agent[Any, Any], default: object, if_none: object) -> None:
    for what, one in (("default", default), ("if_none", if_none)):
        if isinstance(one, list | Out):
            raise PipelineError(f"{where}: {what} has to be one bare value; put it into a model")
    if if_none is not UNSET and not agent.results.none:
        raise PipelineError(
            f"{where}: if_none has no effect, since {agent.name!r} always gives an output; drop it,"
            " or annotate the agent with | None"
        )
