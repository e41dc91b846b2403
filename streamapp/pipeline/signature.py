"""What a function's annotations say about the agent it makes."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from streamapp.errors import PipelineError
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out


class Shape(Enum):
    """How a function gives its outputs."""

    PLAIN = auto()  # returns a value, a list or None
    ASYNC = auto()  # the same, awaited
    ITERATOR = auto()  # yields values
    ASYNC_ITERATOR = auto()  # yields values asynchronously


@dataclass(frozen=True, slots=True)
class Signature:
    """Types and shape of an agent function."""

    shape: Shape
    takes_context: bool
    input_type: Any
    output_type: Any


def inspect_signature(
    function: Callable[..., Any], input_type: Any = None, output_type: Any = None
) -> Signature:
    """Read shape and types of a function or of an object that is called.

    `input_type` and `output_type` stand in for annotations that are missing.

    Raises:
        PipelineError: a type is missing, or the outputs mix `Out` and bare values.
    """
    where = getattr(function, "__qualname__", None) or type(function).__qualname__
    target = _target(function, where)
    parameters = _positional_parameters(target, where)
    hints = _type_hints(target, where)
    takes_context = len(parameters) > 1
    if takes_context and hints.get(parameters[1].name, Context) is not Context:
        raise PipelineError(
            f"agent {where}: its second parameter {parameters[1].name!r} must be a Context"
        )
    taken = input_type if input_type is not None else hints.get(parameters[0].name)
    if taken is None:
        raise PipelineError(
            f"agent {where}: parameter {parameters[0].name!r} has no type;"
            " annotate it or give @agent(input_type=…)"
        )
    given = output_type if output_type is not None else _unwrap(hints.get("return"), where)
    if given is None:
        raise PipelineError(
            f"agent {where}: it has no return type; annotate it or give @agent(output_type=…)"
        )
    return Signature(_shape(target, hints.get("return")), takes_context, taken, given)


def _target(function: Any, where: str) -> Callable[..., Any]:
    """Find the function whose annotations count."""
    if not callable(function):
        raise PipelineError(
            f"@agent was given {function!r}, which cannot be called;"
            " give it a function or an object with __call__"
        )
    if inspect.isclass(function):
        raise PipelineError(f"agent {where}: give an instance, agent({where}(…)), not the class")
    if inspect.isfunction(function) or inspect.ismethod(function):
        return function
    method: Callable[..., Any] = function.__call__
    return method


def _positional_parameters(target: Callable[..., Any], where: str) -> list[inspect.Parameter]:
    found = inspect.signature(target).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in found if p.kind in kinds]
    required = [p for p in found if p.default is p.empty and p.kind not in _VARIADIC]
    if not parameters or len(required) > 2:  # noqa: PLR2004 - value and context
        raise PipelineError(
            f"agent {where}: an agent takes a value, or a value and a Context;"
            f" this one takes {len(required)} parameters"
        )
    # A second parameter with a default and no annotation is the function's own affair.
    return [p for i, p in enumerate(parameters[:2]) if i == 0 or _is_context(p)]


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _is_context(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty or parameter.annotation in (Context, "Context")


def _type_hints(target: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return get_type_hints(target)
    except (NameError, TypeError) as error:
        raise PipelineError(
            f"agent {where}: its annotations cannot be resolved ({error});"
            " types must be importable where the function is defined"
        ) from error


def _shape(target: Callable[..., Any], returns: Any) -> Shape:
    origin = get_origin(returns)
    if inspect.isasyncgenfunction(target) or origin in (AsyncIterator, AsyncGenerator):
        return Shape.ASYNC_ITERATOR
    if inspect.iscoroutinefunction(target) or inspect.isawaitable(origin):
        return Shape.ASYNC
    if inspect.isgeneratorfunction(target) or origin in (Iterator, Generator):
        return Shape.ITERATOR
    return Shape.PLAIN


def _unwrap(returns: Any, where: str) -> Any:
    """Take the type of one output out of lists, iterators, `Out` and `| None`."""
    if returns is None:
        return None
    if returns is NoneType:
        return NoneType
    options = [a for a in get_args(returns) if a is not NoneType]
    if get_origin(returns) in (Union, UnionType):
        outs = [get_origin(option) is Out for option in options]
        if any(outs) and not all(outs):
            raise PipelineError(
                f"agent {where}: it returns Out or a bare value; return one or the other"
            )
        if len(options) == 1:
            return _unwrap(options[0], where)
        return returns
    if get_origin(returns) in (list, Iterator, Generator, AsyncIterator, AsyncGenerator, Out):
        return _unwrap(get_args(returns)[0], where)
    return returns
