"""Reads the input type, output type and shape of an agent function."""

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import dataclass
from enum import Enum, auto
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from streamapp.errors import PipelineError
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out

_ITERATORS = (Iterator, Generator)
_ASYNC_ITERATORS = (AsyncIterator, AsyncGenerator)
_AWAITABLES = (Awaitable, Coroutine)
_LAZY = (*_ITERATORS, *_ASYNC_ITERATORS, *_AWAITABLES, Iterable, AsyncIterable)


class Shape(Enum):
    """How a function returns its outputs."""

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
    """Read shape and types of a function or a callable object.

    `input_type` and `output_type` replace missing annotations.

    Raises:
        PipelineError: a type is missing, the outputs mix `Out` and bare values, or the return
            annotation does not fit this kind of function.
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
    shape = _shape(target, hints.get("return"), where)
    given = output_type if output_type is not None else _unwrap(hints.get("return"), where)
    if given is None:
        raise PipelineError(
            f"agent {where}: it has no return type; annotate it or give @agent(output_type=…)"
        )
    return Signature(shape, takes_context, taken, given)


def _target(function: Any, where: str) -> Callable[..., Any]:
    """The function that has the annotations: the function itself, or `__call__` of an object."""
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
    # A second parameter with a default is no context, unless it is annotated as one.
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


def _shape(target: Callable[..., Any], returns: Any, where: str) -> Shape:
    if inspect.isasyncgenfunction(target):
        return Shape.ASYNC_ITERATOR
    if inspect.isgeneratorfunction(target):
        return Shape.ITERATOR
    if inspect.iscoroutinefunction(target):
        _refuse_lazy(returns, where, "an async function")
        return Shape.ASYNC
    return _shape_of_plain(returns, where)


def _shape_of_plain(returns: Any, where: str) -> Shape:
    """The shape of a function that is neither async nor a generator."""
    origin = _origin(returns)
    if origin in _AWAITABLES:
        for awaited in get_args(returns)[-1:]:
            _refuse_lazy(awaited, where, "a function of awaitables")
        return Shape.ASYNC
    if origin in _ASYNC_ITERATORS:
        return Shape.ASYNC_ITERATOR
    if origin in _ITERATORS:
        return Shape.ITERATOR
    _refuse_lazy(returns, where, "a plain function")
    return Shape.PLAIN


def _refuse_lazy(returns: Any, where: str, kind: str) -> None:
    """Refuse iterators and awaitables that the runtime would not iterate or await."""
    is_union = get_origin(returns) in (Union, UnionType)
    for option in get_args(returns) if is_union else (returns,):
        if _origin(option) in _LAZY:
            raise PipelineError(
                f"agent {where}: {kind} cannot return {_origin(option).__name__} here;"
                " yield the outputs, or return a list"
            )


def _origin(annotation: Any) -> Any:
    """`Iterator` of `Iterator[X]`, and of `Iterator` alone."""
    return get_origin(annotation) or annotation


def _unwrap(returns: Any, where: str) -> Any:
    """The type of one output, without list, iterator, awaitable, `Out` and `| None`."""
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
    if _origin(returns) in _LAZY or get_origin(returns) in (list, Out):
        arguments = get_args(returns)
        if not arguments:
            name = _origin(returns).__name__
            raise PipelineError(f"agent {where}: annotate the type of the outputs: {name}[…]")
        return _unwrap(arguments[-1 if _origin(returns) in _AWAITABLES else 0], where)
    return returns
