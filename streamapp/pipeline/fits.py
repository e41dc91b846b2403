"""Whether a value of one type can be passed where another is expected.

The answers are those of a type checker for the types that records are made of, so that a pipeline
is not refused when it is built although its author's editor accepts it, nor the other way round.
"""

import inspect
import types
from collections import abc
from collections.abc import Iterator
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from typing_extensions import TypeAliasType, is_typeddict

_PROMOTED: dict[Any, tuple[type, ...]] = {int: (float, complex), bool: (float, complex)}
_PROMOTED[float] = (complex,)
"""Numbers that stand for others although they are no subclasses (PEP 484)."""

_INVARIANT = (list, set, dict, abc.MutableSequence, abc.MutableSet, abc.MutableMapping)
"""Containers that others may write to, so what they hold has to be the same type."""


_GENERIC = (list, dict, set, frozenset, tuple)


def fits(given: Any, taken: Any) -> bool:  # noqa: PLR0911 - one answer for each kind of type
    """Whether a value of type `given` can be passed where `taken` is expected."""
    given, taken = bare(given), bare(taken)
    if Any in (given, taken) or taken is object or given == taken:
        return True
    if (options := _options(given)) is not None:
        return all(fits(option, taken) for option in options)
    if (options := _options(taken)) is not None:
        return any(fits(given, option) for option in options)
    if get_origin(given) is Literal:
        return _literal_fits(get_args(given)[0], taken)
    if isinstance(given, NewType):
        return fits(given.__supertype__, taken)
    if isinstance(taken, NewType):
        return False
    if is_typeddict(given):
        return _typed_dict_fits(given, taken)
    return _classes_fit(given, taken)


def bare(type_: Any) -> Any:
    """A type without what `Annotated` adds to it, and an alias as what it stands for."""
    while True:
        if get_origin(type_) is Annotated:
            type_ = get_args(type_)[0]
        elif isinstance(type_, TypeAliasType):
            type_ = type_.__value__
        else:
            return types.NoneType if type_ is None else type_


def type_name(type_: Any) -> str:
    """A type as an error message names it."""
    return type_.__name__ if inspect.isclass(type_) else str(type_)


def _options(type_: Any) -> tuple[Any, ...] | None:
    """The types that a union is made of, and the values that a `Literal` names."""
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Literal and len(arguments) > 1:
        return tuple(Literal[value] for value in arguments)
    return arguments if origin in (Union, types.UnionType) else None


def _literal_fits(value: Any, taken: Any) -> bool:
    if get_origin(taken) is not Literal:
        return fits(type(value), taken)
    [other] = get_args(taken)
    return type(value) is type(other) and bool(value == other)


def _typed_dict_fits(given: Any, taken: Any) -> bool:
    """A TypedDict is a mapping from text to objects, and no dict."""
    if is_typeddict(taken):
        own, expected = get_type_hints(given), get_type_hints(taken)
        same_needs = given.__required_keys__ & expected.keys() == taken.__required_keys__
        return same_needs and all(
            key in own and fits(own[key], type_) and fits(type_, own[key])
            for key, type_ in expected.items()
        )
    origin, arguments = get_origin(taken) or taken, get_args(taken)
    if origin not in (abc.Mapping, abc.Collection, abc.Iterable, abc.Container):
        return False
    held = (str, object) if origin is abc.Mapping else (str,)
    return all(fits(one, other) for one, other in zip(held, arguments, strict=False))


def _classes_fit(given: Any, taken: Any) -> bool:  # noqa: PLR0911 - the same
    origin, expected = get_origin(given) or given, get_origin(taken) or taken
    if not (inspect.isclass(origin) and inspect.isclass(expected)):
        return False
    if expected in _PROMOTED.get(origin, ()):
        return True
    if is_typeddict(expected) or not _is_subclass(origin, expected):
        return False
    arguments = get_args(taken)
    if not arguments:
        return True  # without arguments a generic type takes any
    if origin is tuple or expected is tuple:
        return _tuples_fit(given, taken)
    own = _arguments_as(given, expected)
    if own is None:
        return origin in _GENERIC or bool(
            getattr(origin, "__parameters__", ())
        )  # the same if it is given so
    if len(own) != len(arguments):
        return False
    keys_are_invariant = expected is abc.Mapping
    for i, (one, other) in enumerate(zip(own, arguments, strict=True)):
        same = expected in _INVARIANT or _is_users(expected) or (keys_are_invariant and i == 0)
        if not fits(one, other) or (same and not fits(other, one)):
            return False
    return True


def _is_subclass(one: type, other: type) -> bool:
    try:
        return issubclass(one, other)
    except TypeError:  # a protocol that cannot be asked
        return False


def _is_users(type_: type) -> bool:
    return type_.__module__ not in ("builtins", "collections.abc", "typing")


def _tuples_fit(given: Any, taken: Any) -> bool:
    own, arguments = get_args(given), get_args(taken)
    if not own:
        return True
    repeated = len(own) == 2 and own[1] is ...  # noqa: PLR2004 - tuple[X, ...]
    if (get_origin(taken) or taken) is not tuple:
        return all(fits(one, arguments[0]) for one in own if one is not ...)
    if len(arguments) == 2 and arguments[1] is ...:  # noqa: PLR2004 - the same
        return all(fits(one, arguments[0]) for one in own if one is not ...)
    if repeated or len(own) != len(arguments):
        return False
    return all(fits(one, other) for one, other in zip(own, arguments, strict=True))


def _arguments_as(given: Any, expected: type) -> tuple[Any, ...] | None:
    """Arguments of a generic type seen as one of its bases; `None` if it has none."""
    origin, arguments = get_origin(given) or given, get_args(given)
    if origin is expected:
        return arguments or None
    if issubclass(origin, (str, bytes)):
        return (str if issubclass(origin, str) else int,)
    for base in _generic_bases(origin):
        parameters = getattr(origin, "__parameters__", ())
        known = dict(zip(parameters, arguments, strict=False))
        filled = get_origin(base)[tuple(_filled(one, known) for one in get_args(base))]
        if _is_subclass(get_origin(base), expected):
            return _arguments_as(filled, expected)
    if not arguments:
        return None
    is_mapping = issubclass(origin, abc.Mapping) and not issubclass(expected, abc.Mapping)
    return arguments[:1] if is_mapping else arguments


def _generic_bases(origin: Any) -> Iterator[Any]:
    for base in getattr(origin, "__orig_bases__", ()):
        if get_origin(base) is not Generic and get_args(base):
            yield base


def _filled(argument: Any, known: dict[Any, Any]) -> Any:
    return known.get(argument, Any) if isinstance(argument, TypeVar) else argument
