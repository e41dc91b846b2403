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
    Mapping,
)
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

from streamapp.errors import PipelineError
from streamapp.pipeline.batch_signature import hints_of_item
from streamapp.pipeline.context import Context
from streamapp.pipeline.fits import bare
from streamapp.pipeline.out import Out
from streamapp.tombstones import takes_tombstones

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
class Results:
    """What a call may give besides one bare value, as far as annotations say.

    Attributes:
        none: it may give no output: `X | None`, or `None` alone.
        many: it may give several: a list or an iterator.
        out: it gives `Out`, so that an output may have a key, headers or a route of its own.
    """

    none: bool = False
    many: bool = False
    out: bool = False

    def __or__(self, other: "Results") -> "Results":
        """What may come of either."""
        return Results(self.none or other.none, self.many or other.many, self.out or other.out)


ONE_VALUE = Results()
"""One bare value, each time."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Types and shape of an agent function, and what it may give."""

    shape: Shape
    takes_context: bool
    input_type: Any
    output_type: Any
    results: Results


@dataclass(frozen=True, slots=True)
class CallSignature:
    """How a function that is no agent takes a number of arguments, and what it returns.

    Attributes:
        shape: how it returns its result.
        parameters: name and type of the parameter that each argument goes to; the type is `Any` if
            it is not annotated.
        output_type: type of one output; `None` if it is not annotated.
        results: what it may give.
    """

    shape: Shape
    parameters: tuple[tuple[str, Any], ...]
    output_type: Any
    results: Results


def inspect_signature(
    function: Callable[..., Any],
    input_type: Any = None,
    output_type: Any = None,
    *,
    in_batches: bool = False,
) -> Signature:
    """Read shape and types of a function or a callable object.

    `input_type` and `output_type` replace missing annotations. A function that takes its inputs
    `in_batches` is read as if it took one.

    Raises:
        PipelineError: a type is missing, the outputs mix `Out` and bare values, or the return
            annotation does not fit this kind of function.
    """
    where = name_of(function)
    target = _target(function, where)
    hints = _type_hints(target, where)
    if in_batches:
        hints = hints_of_item(target, hints, where)
    parameters = _positional_parameters(target, hints, where)
    takes_context = len(parameters) > 1
    if takes_context and bare(hints.get(parameters[1].name, Context)) is not Context:
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
    return Signature(shape, takes_context, taken, given, _results(shape, hints))


def inspect_call(function: Callable[..., Any], arguments: int) -> CallSignature | None:
    """Read how a function takes so many arguments; `None` if it takes fewer, or needs more.

    Raises:
        PipelineError: it cannot be called, its annotations cannot be resolved, or it returns what
            nobody would await or iterate.
    """
    where = name_of(function)
    target = _target(function, where)
    hints = _type_hints(target, where)
    try:
        bound = inspect.signature(target).bind(*range(arguments)).arguments
    except (TypeError, ValueError):
        return None
    parameters: dict[int, tuple[str, Any]] = {}
    for name, place in bound.items():
        places = place if isinstance(place, tuple) else (place,)
        parameters |= {one: (name, hints.get(name, Any)) for one in places}
    shape = _shape(target, hints.get("return"), where)
    given = _unwrap(hints.get("return"), where)
    in_order = tuple(parameters[i] for i in range(arguments))
    return CallSignature(shape, in_order, given, _results(shape, hints))


def _target(function: Any, where: str) -> Callable[..., Any]:
    """The function that has the annotations: the function itself, or `__call__` of an object."""
    if not callable(function):
        raise PipelineError(
            f"@agent was given {function!r}, which cannot be called;"
            " give it a function or an object with __call__"
        )
    if inspect.isclass(function):
        raise PipelineError(f"agent {where}: give an instance, agent({where}(…)), not the class")
    if inspect.isroutine(function) or isinstance(function, partial) or _wrapped(function):
        return cast("Callable[..., Any]", function)
    method: Callable[..., Any] = function.__call__
    return method


def _wrapped(function: Any) -> Any:
    """What `functools.wraps` says that a function wraps; `None` if it wraps nothing."""
    return getattr(function, "__wrapped__", None)


def innermost(function: Any) -> Any:
    """The function that was written, without `partial` and what was wrapped around it."""
    while True:
        if isinstance(function, partial):
            function = function.func
        elif _wrapped(function) is not None:
            function = _wrapped(function)
        else:
            return function


def name_of(function: Any) -> str:
    """Its name for errors: that of the innermost function, or of the class of an object."""
    inner = innermost(function)
    return getattr(inner, "__qualname__", None) or type(inner).__qualname__


def _positional_parameters(
    target: Callable[..., Any], hints: Mapping[str, Any], where: str
) -> list[inspect.Parameter]:
    try:
        found = inspect.signature(target).parameters.values()
    except ValueError as error:  # of a function that is not written in Python
        raise PipelineError(f"agent {where}: its parameters are unknown; wrap it in def") from error
    parameters = [p for p in found if p.kind in _POSITIONAL]
    required = [p for p in parameters if p.default is p.empty]
    if not parameters or len(required) > 2:  # noqa: PLR2004 - value and context
        raise PipelineError(
            f"agent {where}: an agent takes a value, or a value and a Context;"
            f" this one takes {len(required)} parameters"
        )
    for parameter in found:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise PipelineError(
                f"agent {where}: nobody gives its keyword {parameter.name!r}; give it a default, or"
                f" give functools.partial({where}, {parameter.name}=…) to agent"
            )
    # A second parameter with a default is no context, unless it is annotated as one.
    return [
        p
        for i, p in enumerate(parameters[:2])
        if i == 0 or p.default is p.empty or bare(hints.get(p.name)) is Context
    ]


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _type_hints(target: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        inner = target if inspect.isroutine(target) else innermost(target)
        inner = inner if inspect.isroutine(inner) else inner.__call__
        return get_type_hints(inner, include_extras=True)
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
    shape = _shape_of_plain(returns, where)
    inner = innermost(target)
    if shape is Shape.PLAIN and (
        inspect.iscoroutinefunction(inner)
        or inspect.isasyncgenfunction(inner)
        or inspect.isgeneratorfunction(inner)
    ):
        raise PipelineError(
            f"agent {where}: what is wrapped around it is a plain function, but it is async or a"
            " generator itself; make the wrapper the same, or put @agent directly above it"
        )
    return shape


def _shape_of_plain(returns: Any, where: str) -> Shape:
    """The shape of a function that is neither async nor a generator."""
    returns = bare(returns)
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
    returns = bare(returns)
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


def _results(shape: Shape, hints: Mapping[str, Any]) -> Results:
    found = _results_of(hints["return"]) if "return" in hints else ONE_VALUE
    return found | Results(many=shape in (Shape.ITERATOR, Shape.ASYNC_ITERATOR))


def _results_of(returns: Any) -> Results:
    """What a return annotation says that may be given."""
    returns = bare(returns)
    origin, arguments = _origin(returns), get_args(returns)
    if origin in (Union, UnionType):
        return reduce(or_, map(_results_of, arguments))
    if origin in _AWAITABLES:
        return _results_of(arguments[-1]) if arguments else ONE_VALUE
    if origin is list or origin in _LAZY:
        inner = _results_of(arguments[0]) if arguments else ONE_VALUE
        return Results(many=True, out=inner.out)
    return Results(none=returns is NoneType, out=origin is Out)


def _unwrap(returns: Any, where: str) -> Any:
    """The type of one output, without list, iterator, awaitable, `Out` and `| None`.

    Within `Out`, `| None` is part of the type: it declares tombstones.
    """
    if returns in (None, NoneType):
        return returns
    if get_origin(returns) is Annotated:
        inner = get_args(returns)[0]
        unwrapped = _unwrap(inner, where)
        return returns if unwrapped is inner else unwrapped
    options = [a for a in get_args(returns) if a is not NoneType]
    if get_origin(returns) in (Union, UnionType):
        outs = [get_origin(option) is Out for option in options]
        if any(outs) and not all(outs):
            raise PipelineError(
                f"agent {where}: it returns Out or a bare value; return one or the other"
            )
        if len(options) == 1 or all(outs):
            return reduce(or_, [_unwrap(option, where) for option in options])
        return returns if NoneType not in get_args(returns) else reduce(or_, options)
    if _origin(returns) in _LAZY or get_origin(returns) in (list, Out):
        return _unwrap_one(returns, where)
    return returns


def _unwrap_one(returns: Any, where: str) -> Any:
    """The type of one output of a list, an iterator, an awaitable or an `Out`."""
    origin, arguments = _origin(returns), get_args(returns)
    if not arguments:
        raise PipelineError(
            f"agent {where}: annotate the type of the outputs: {origin.__name__}[…]"
        )
    if origin is Out:
        if bare(arguments[0]) is NoneType:
            raise PipelineError(f"agent {where}: name what its tombstones delete: Out[X | None]")
        return arguments[0]
    if origin in _AWAITABLES:
        return _unwrap(arguments[-1], where)
    if takes_tombstones(arguments[0]):
        raise PipelineError(
            f"agent {where}: None among several outputs is none of them; leave it out and drop the"
            " | None, or give tombstones as Out[X | None]"
        )
    return _unwrap(arguments[0], where)
