"""Reads the annotations of a function that takes a batch as those of one that takes an item."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import reduce
from operator import or_
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from streamapp.errors import PipelineError
from streamapp.pipeline.context import Context
from streamapp.pipeline.fits import bare, type_name

_LISTS = (list, Sequence)
_AWAITABLES = (Awaitable, Coroutine)


def hints_of_item(
    target: Callable[..., Any], hints: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """What the annotations of a batch function say about one of its items.

    `list[X]` becomes `X`, `list[Context]` a `Context`, and the returned `list[Y | Exception]`
    becomes `Y`.

    Raises:
        PipelineError: it does not take a list, or does not return one; or it takes one context.
    """
    first = next(iter(inspect.signature(target).parameters), None)
    return {
        name: _result(hint, where)
        if name == "return"
        else _item(hint, name, where)
        if name == first
        else _further(hint, name, where)
        for name, hint in hints.items()
    }


def _item(hint: Any, name: str, where: str) -> Any:
    hint = bare(hint)
    if get_origin(hint) not in _LISTS:
        raise PipelineError(
            f"agent {where}: its parameter {name!r} is {type_name(hint)}, but a batch agent takes a"
            f" list; annotate it list[{type_name(hint)}]"
        )
    return get_args(hint)[0]


def _further(hint: Any, name: str, where: str) -> Any:
    if bare(hint) is Context:
        raise PipelineError(
            f"agent {where}: its parameter {name!r} is one Context, but each item of a batch has"
            " its own; annotate it list[Context]"
        )
    arguments = get_args(bare(hint))
    is_list = get_origin(bare(hint)) in _LISTS
    return Context if is_list and bare(arguments[0]) is Context else hint


def _result(hint: Any, where: str) -> Any:
    """What is returned for one item, as a function of one item would return it."""
    hint = bare(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in _AWAITABLES:
        return Awaitable[_result(arguments[-1], where)]  # type: ignore[misc]  # made at run time
    if hint in (None, NoneType):
        return hint
    if origin not in _LISTS:
        raise PipelineError(
            f"agent {where}: it returns {type_name(hint)}, but a batch agent returns a list with"
            " one result for each item, such as list[Scored | Exception]"
        )
    return _without_exceptions(bare(arguments[0]), where)


def _without_exceptions(hint: Any, where: str) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kept = [one for one in options if not _is_exception(one)]
    if not kept:
        raise PipelineError(
            f"agent {where}: it returns nothing but exceptions; for a batch agent without outputs"
            " write list[None | Exception]"
        )
    return reduce(or_, kept)


def _is_exception(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseException)
