"""Names of the fields beside an unknown one, for the message that refuses it."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Tag


def is_tag(part: object) -> bool:
    """Whether a part of a fault's location names a member of a union, and nothing in the data.

    Unions of ours have tags in parentheses.
    """
    return isinstance(part, str) and part.startswith("(") and part.endswith(")")


def field_names(model: Any, location: Sequence[int | str]) -> Iterator[str]:
    """The fields that what is at a location may have.

    Args:
        model: the type of the whole.
        location: as pydantic says it: fields, keys, indexes, and tags of unions.
    """
    found = list(_members(model))
    for part in location:
        found = [one for tag, type_ in found for one in _inner(tag, type_, part)]
    for _, type_ in found:
        yield from (alias or name for name, alias, _ in _fields(type_))


def _inner(tag: str | None, type_: Any, part: int | str) -> Iterator[tuple[str | None, Any]]:
    """The types of a part of a value, with their tags."""
    if is_tag(part):
        if tag == part:
            yield None, type_
        return
    args = get_args(type_)
    if isinstance(part, int):
        for arg in args[:1]:
            yield from _members(arg)
        return
    origin = get_origin(type_)
    if isinstance(origin, type) and issubclass(origin, Mapping) and args:
        yield from _members(args[-1])
    for name, alias, of_field in _fields(type_):
        if part in (name, alias):
            yield from _members(of_field)


def _members(type_: Any, tag: str | None = None) -> Iterator[tuple[str | None, Any]]:
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        tag = next((one.tag for one in args[1:] if isinstance(one, Tag)), tag)
        yield from _members(args[0], tag)
    elif origin in (Union, UnionType):
        for one in args:
            yield from _members(one)
    else:
        yield tag, type_


def _fields(type_: Any) -> Iterator[tuple[str, str | None, Any]]:
    """Name, alias and type of each field of a model or a dataclass."""
    if not isinstance(type_, type):
        return
    if issubclass(type_, BaseModel):
        for name, field in type_.model_fields.items():
            yield name, field.alias, field.annotation
    elif dataclasses.is_dataclass(type_):
        hints = get_type_hints(type_)
        for one in dataclasses.fields(type_):
            yield one.name, None, hints[one.name]
