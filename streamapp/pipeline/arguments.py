"""Checks of the arguments of a pipeline's methods; each error says what to write instead."""

import difflib
import inspect
from collections.abc import Collection, Mapping
from typing import Any

from streamapp.errors import PipelineError
from streamapp.observability.collector import MetricsCollector
from streamapp.pipeline.agent import Agent, Unfinished
from streamapp.pipeline.audit import Audit
from streamapp.pipeline.stage import StageConfig
from streamapp.policies.policy import Policy
from streamapp.topics.topic import Topic

_OTHER_ARGUMENTS = (
    "name",
    "on_error",
    "config",
    "fused",
    "output",
    "routes",
    "dead_letters",
    "renamed_from",
)


def check_topic(where: str, what: str, value: object) -> None:
    """Require a Topic.

    Args:
        where: beginning of the error message, such as `pipeline 'p'`.
        what: name of the argument, such as `source`.
        value: the argument.

    Raises:
        PipelineError: it is not a `Topic`.
    """
    if not isinstance(value, Topic):
        name = repr(value) if isinstance(value, str) else "'name'"
        raise PipelineError(f"{where}: {what} is {_described(value)}; give Topic({name}, Model)")


def check_sink(where: str, value: object) -> None:
    """Require a topic or its name as the argument of `.sink()`.

    Raises:
        PipelineError: it is neither.
    """
    if not isinstance(value, Topic | str):
        raise PipelineError(f"{where}: .sink() was given {_described(value)}; give a topic's name")


def check_agent(where: str, value: object) -> None:
    """Require an Agent as the first argument of `.stage()`.

    Raises:
        PipelineError: it is not an `Agent`.
    """
    if isinstance(value, Unfinished):
        raise PipelineError(f"{where}: .stage() was given {value.told}")
    if not isinstance(value, Agent):
        raise PipelineError(
            f"{where}: .stage() was given {_described(value)}; decorate it with @agent"
            if callable(value)
            else f"{where}: .stage() was given {_described(value)}; give a function with @agent"
        )


def check_stage_arguments(
    where: str,
    *,
    on_error: object,
    config: object,
    output: object,
    routes: object,
    dead_letters: object,
    renamed_from: object,
) -> None:
    """Check the types of the other arguments of `.stage()`.

    Raises:
        PipelineError: an argument has a wrong type.
    """
    _check_policy(where, on_error)
    if config is not None and not isinstance(config, StageConfig):
        raise PipelineError(f"{where}: config is {_described(config)}; give StageConfig(...)")
    if output is not None:
        check_topic(where, "output", output)
    if dead_letters is not None and not isinstance(dead_letters, str):
        raise PipelineError(
            f"{where}: dead_letters is {_described(dead_letters)}; give the topic's name"
        )
    if renamed_from is not None and not isinstance(renamed_from, str):
        raise PipelineError(
            f"{where}: renamed_from is {_described(renamed_from)}; give the stage's old name"
        )
    if routes is not None and not isinstance(routes, Mapping):
        raise PipelineError(
            f"{where}: routes is {_described(routes)}; give topics by name, such as"
            " {'late': Topic('late', Model)}"
        )
    for name, topic in (routes or {}).items():
        check_topic(where, f"route {name!r}", topic)


def check_audit(where: str, value: object) -> Audit:
    """Require one of the values of `audit`.

    Raises:
        PipelineError: it is none of them.
    """
    try:
        return Audit(str(value))
    except ValueError:
        known = ", ".join(repr(str(one)) for one in Audit)
        raise PipelineError(f"{where}: audit is {_described(value)}; give one of {known}") from None


def check_collectors(where: str, values: Collection[object]) -> None:
    """Require metrics collectors.

    Raises:
        PipelineError: one is none.
    """
    for value in values:
        if not isinstance(value, MetricsCollector):
            raise PipelineError(
                f"{where}: .collect() was given {_described(value)}; give a MetricsCollector"
            )


def check_settings(where: str, given: Collection[str], known: Collection[str]) -> None:
    """Require each further keyword of `.stage()` to be a setting.

    Raises:
        PipelineError: a keyword is unknown; the message suggests the closest and lists all.
    """
    for name in given:
        if name not in known and name not in StageConfig.model_fields:
            near = difflib.get_close_matches(name, (*known, *_OTHER_ARGUMENTS), n=1)
            asked = f"; did you mean {near[0]}?" if near else "."
            raise PipelineError(
                f"{where}: there is no setting {name!r}{asked} The settings are: {', '.join(known)}"
            )


def _check_policy(where: str, value: object) -> None:
    if value is None or isinstance(value, Policy):
        return
    beginning = f"{where}: on_error is {_described(value)}; "
    if inspect.isfunction(value):
        raise PipelineError(f"{beginning}call it: {value.__name__}()")
    raise PipelineError(f"{beginning}give a policy, such as dead_letter() or retry(3)")


def _described(value: Any) -> str:
    """A value as an error message names it: on one line and without memory addresses."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {value.__name__}"
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    if isinstance(value, Topic):
        return f"the topic {value.name!r}"
    if isinstance(value, Agent):
        return f"the agent {value.name!r}"
    return f"of type {type(value).__name__}"
