"""Whether values of a type can have a field at a path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

from streamapp.pipeline.fits import bare
from streamapp.structs import is_struct


def may_have(type_: Any, path: Sequence[str]) -> bool:
    """Whether a value of the type may have what the path names; of unknown types, it may.

    Args:
        type_: the type.
        path: names of fields; `*` is each item of a list, or each value of a dictionary.
    """
    if not path:
        return True
    return any(_has(one, path[0], path[1:]) for one in _members(bare(type_)))


def close_path(type_: Any, path: Sequence[str]) -> list[str] | None:
    """A path that values of a type may have, and that is spelt much like this one; or `None`."""
    for one in _members(bare(type_)):
        parts = _parts(one)
        for name in get_close_matches(path[0], parts, n=3):
            if len(path) == 1:
                return [name]
            if rest := close_path(parts[name], path[1:]):
                return [name, *rest]
    return None


def _parts(type_: Any) -> Mapping[str, Any]:
    """The fields of a type and their types, with `*` for its items; none if it is unknown."""
    origin, args = get_origin(type_) or type_, get_args(type_)
    if not isinstance(origin, type) or origin is object:
        return {}
    named = _fields(origin)
    if named is not None:
        return named
    return {"*": args[-1]} if args and issubclass(origin, (Mapping, list)) else {}


def _members(type_: Any) -> Iterator[Any]:
    if get_origin(type_) in (Union, UnionType):
        for one in get_args(type_):
            yield from _members(bare(one))
    else:
        yield type_


def _has(type_: Any, name: str, rest: Sequence[str]) -> bool:
    origin = get_origin(type_) or type_
    if not isinstance(origin, type) or origin is object:
        return True
    named = _fields(origin)
    if named is not None:
        return name in named and may_have(named[name], rest)
    args = get_args(type_)
    if issubclass(origin, Mapping):
        return may_have(args[-1], rest) if args else True
    if issubclass(origin, (list, tuple)):
        return name == "*" and (not args or any(may_have(one, rest) for one in args))
    # Text, numbers and the like have no parts; a class of the user's own may have any.
    return origin.__module__ not in ("builtins", "datetime", "decimal", "uuid", "enum")


def _fields(class_: type) -> Mapping[str, Any] | None:
    """The fields of a class and their types; `None` if it does not list them, or takes others."""
    if issubclass(class_, BaseModel):
        if class_.model_config.get("extra") == "allow":
            return None
        return {name: field.annotation for name, field in class_.model_fields.items()}
    if is_typeddict(class_) or hasattr(class_, "_fields") or is_struct(class_):
        return get_type_hints(class_)
    if is_dataclass(class_):
        hints = get_type_hints(class_)
        return {field.name: hints[field.name] for field in fields(class_)}
    return None
