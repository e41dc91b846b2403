"""Types that say that a record may be a tombstone: `X | None`.

A tombstone is a record with a key and no value; in a compacted topic it deletes its key. `None` at
the top of a type stands for it, and never for the `null` of JSON.
"""

from functools import reduce
from operator import is_, or_
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from typing_extensions import TypeAliasType


def takes_tombstones(type_: Any) -> bool:
    """Whether `None` is declared beside other types: in `X | None`, but not in `Any`."""
    return value_type(type_) is not type_


def value_type(type_: Any) -> Any:
    """The type of the values: `X` of `X | None`, and any other type as it is."""
    if isinstance(type_, TypeAliasType):
        values = value_type(type_.__value__)
        return type_ if values is type_.__value__ else values
    if get_origin(type_) is Annotated:
        inner, *notes = get_args(type_)
        values = value_type(inner)
        return type_ if values is inner else Annotated[values, *notes]
    if get_origin(type_) not in (Union, UnionType):
        return type_
    options = get_args(type_)
    values = [value_type(option) for option in options if option is not NoneType]
    is_same = len(values) == len(options) and all(map(is_, values, options))
    return type_ if is_same else reduce(or_, values)
