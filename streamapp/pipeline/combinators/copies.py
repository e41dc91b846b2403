"""Copies of values, so that no part of an agent sees what another does to its value.

A copy is made in memory and not by way of JSON, because JSON leaves out what is not written:
excluded fields, private attributes, and the values between two parts need not be JSON at all.

Hot path: a copy is made for each call of a part that needs one.
"""

from collections.abc import Callable
from copy import copy, deepcopy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, get_args
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from streamapp.immutable import is_immutable
from streamapp.pipeline.fits import bare
from streamapp.structs import has_structs, is_struct

_CONSTANT = frozenset(
    {str, int, float, bool, NoneType, bytes, date, datetime, time, timedelta, Decimal, UUID}
)
"""Types whose values nothing can change. A subclass may have attributes."""


def copier_for(type_: Any) -> Callable[[Any], Any]:
    """How to copy values of a type; a value of a frozen model that nothing can change is shared."""
    class_ = bare(type_)
    if has_structs(class_):
        return _copy_with_structs
    if not (isinstance(class_, type) and issubclass(class_, BaseModel)):
        return deepcopy
    if is_immutable(class_, TypeAdapter(class_)):
        return lambda value: value if type(value) is class_ else deepcopy(value)
    if class_.__copy__ is BaseModel.__copy__ and class_.__deepcopy__ is BaseModel.__deepcopy__:
        return _model_copier(class_)
    return deepcopy


def _model_copier(class_: type[BaseModel]) -> Callable[[Any], Any]:
    """A shallow copy is a deep one where all that a model has is constant, at a third of the time.

    The values are asked, because a field may hold one that is not of its type.
    """
    constant = _CONSTANT.union(_enums_of(class_))

    def copy_model(value: Any) -> Any:
        if (
            type(value) is class_
            and constant.issuperset(map(type, value.__dict__.values()))
            and not value.__pydantic_extra__
            and not value.__pydantic_private__
        ):
            return value.__copy__()
        return deepcopy(value)

    return copy_model


def _copy_with_structs(value: Any) -> Any:
    """A deep copy that makes no struct anew, because that would run its `__post_init__` again."""
    if type(value) in _CONSTANT:
        return value
    if isinstance(value, list):
        return [_copy_with_structs(one) for one in value]
    if isinstance(value, dict):
        return {deepcopy(key): _copy_with_structs(one) for key, one in value.items()}
    return _struct_copy(value) if is_struct(type(value)) else deepcopy(value)


def _struct_copy(value: Any) -> Any:
    from msgspec.structs import force_setattr  # noqa: PLC0415 - an extra

    copied = copy(value)
    for name in type(value).__struct_fields__:
        own = getattr(value, name)
        if type(own) not in _CONSTANT:
            force_setattr(copied, name, _copy_with_structs(own))
    return copied


def _enums_of(class_: type[BaseModel]) -> set[type[Enum]]:
    declared = [field.annotation for field in class_.model_fields.values()]
    found = {one for type_ in declared for one in (type_, *get_args(type_))}
    return {one for one in found if isinstance(one, type) and issubclass(one, Enum)}
