"""Checks that values are of the types that a struct declares, which msgspec does not do itself.

It checks what it reads. A struct that is made or changed may hold anything, and is written as it
is: NaN as null, a field that is UNSET not at all, a struct of a subclass with its further fields.
"""

import datetime as dt
import decimal
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect as kinds

from streamapp.checked_json import refuse_non_finite
from streamapp.leaf_checks import Check, WrongValue, leaf_check, unexpected
from streamapp.part_checks import (
    choice_check,
    dict_check,
    fields_check,
    items_check,
    tuple_check,
)
from streamapp.structs import UnknownTypeError

EXACT: Mapping[type[kinds.Type], type[Any]] = {
    kinds.BoolType: bool,
    kinds.BytesType: bytes,
    kinds.DecimalType: decimal.Decimal,
    kinds.FloatType: float,
    kinds.IntType: int,
    kinds.NoneType: NoneType,
    kinds.StrType: str,
    kinds.UUIDType: uuid.UUID,
    kinds.DateType: dt.date,
    kinds.TimeDeltaType: dt.timedelta,
}
"""Types of fields whose values are right if they are of exactly this class."""

_CORE_KINDS: Mapping[type[kinds.Type], str] = {
    kinds.DateTimeType: "datetime",
    kinds.LiteralType: "literal",
    kinds.TimeType: "time",
}
"""Types whose checks are those of pydantic's core schemas of these kinds."""

_SEQUENCES: Mapping[type[kinds.Type], type[Any]] = {
    kinds.ListType: list,
    kinds.VarTupleType: tuple,
    kinds.SetType: set,
    kinds.FrozenSetType: frozenset,
}


def bare(info: kinds.Type) -> kinds.Type:
    """A type without what is noted beside it."""
    while isinstance(info, kinds.Metadata):
        info = info.type
    return info


def exact_types(info: kinds.Type) -> frozenset[type] | None:
    """The classes of which exactly all values are right; `None` if the class does not tell."""
    info = bare(info)
    if isinstance(info, kinds.EnumType):
        return frozenset({info.cls})
    if isinstance(info, kinds.UnionType):
        options = [exact_types(one) for one in info.types]
        known = [one for one in options if one is not None]
        return frozenset().union(*known) if len(known) == len(options) else None
    class_ = EXACT.get(type(info))
    return None if class_ is None else frozenset({class_})


@dataclass(frozen=True, slots=True)
class StructTypes:
    """Makes checks from what msgspec says of types.

    Args:
        complete: check as well what shows when a value is written: a float that JSON does not have
            becomes null, and text that UTF-8 does not have is refused.

    Raises:
        UnknownTypeError: a field is of a type that cannot be checked.
    """

    complete: bool = True
    _made: dict[Any, list[Check]] = field(default_factory=dict)

    def check_of(self, info: kinds.Type) -> Check:
        """The check of one type."""
        info = bare(info)
        kind = type(info)
        if isinstance(info, kinds.StructType | kinds.TypedDictType):
            return self._of_fields(info)
        if isinstance(info, kinds.UnionType):
            return choice_check([self.check_of(one) for one in info.types])
        if isinstance(info, kinds.DictType):
            return self._of_dict(info)
        if isinstance(info, kinds.TupleType):
            return tuple_check([self.check_of(one) for one in info.item_types])
        if kind in _SEQUENCES:
            item: kinds.Type = getattr(info, "item_type")  # noqa: B009 - of each of these kinds
            return items_check(_SEQUENCES[kind], self.check_of(item), self._decided(item))
        return _leaf(info)

    def _of_fields(self, info: kinds.StructType | kinds.TypedDictType) -> Check:
        known = self._made.get(info.cls)
        if known is not None:  # a type may refer to itself
            return lambda value: known[0](value)  # noqa: PLW0108 - it is not made yet
        made: list[Check] = []
        self._made[info.cls] = made
        checks = [(one.name, self.check_of(one.type)) for one in info.fields]
        if isinstance(info, kinds.StructType):
            check = _struct_check(info, checks)
        else:
            required = [one.name for one in info.fields if one.required]
            check = fields_check(dict, lambda value: value, required, checks)
        made.append(check)
        return check

    def _of_dict(self, info: kinds.DictType) -> Check:
        keys, values = info.key_type, info.value_type
        return dict_check(
            _key_check(self.check_of(keys)),
            self._decided(keys) & {str, int},
            self.check_of(values),
            self._decided(values),
        )

    def _decided(self, info: kinds.Type) -> frozenset[type]:
        """The classes of which exactly all values are right."""
        found = exact_types(info) or frozenset()
        return found - {float, str} if self.complete else found


def _core_check(kind: str, expected: Sequence[Any] = ()) -> Check:
    """The check that pydantic's core schemas of this kind have."""
    schema = {"type": kind, "expected": expected}
    found = leaf_check(schema, complete=True, finite=True, in_union=False)
    assert found is not None  # noqa: S101 - these kinds of schemas have one
    return found


_check_number = _core_check("float")


def _leaf(info: kinds.Type) -> Check:
    kind = type(info)
    if kind in _CORE_KINDS:
        return _core_check(_CORE_KINDS[kind], getattr(info, "values", ()))
    if kind in _CHECKS:
        return _CHECKS[kind]
    if kind in EXACT or isinstance(info, kinds.EnumType):
        return _exact_check(info.cls if isinstance(info, kinds.EnumType) else EXACT[kind])
    name = getattr(getattr(info, "cls", None), "__name__", kind.__name__.removesuffix("Type"))
    raise UnknownTypeError(f"{name} as the type of a field is not known here")


def _exact_check(class_: type[Any]) -> Check:
    def check(value: Any) -> None:
        if type(value) is not class_:
            raise unexpected(class_, value)

    return check


def _check_text(value: Any) -> None:
    if type(value) is not str:
        raise unexpected(str, value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongValue("the text has a character that UTF-8 has not") from None


def _check_any(value: Any) -> None:
    """Require what is no float beyond JSON; its type is not declared."""
    if value is msgspec.UNSET:
        raise WrongValue("it is UNSET, which is not declared")
    try:
        plain = msgspec.to_builtins(value)
    except (TypeError, ValueError):
        return  # msgspec refuses it when it writes it
    try:
        refuse_non_finite(plain, "")
    except ValueError as error:
        raise WrongValue(str(error)) from None


def _check_float(value: Any) -> None:
    """Require a float, or an integer that equals one: msgspec reads no other as a float."""
    if type(value) is not float and type(value) is not int:
        raise unexpected(float, value)
    _check_number(value)


_CHECKS: Mapping[type[kinds.Type], Check] = {
    kinds.AnyType: _check_any,
    kinds.FloatType: _check_float,
    kinds.StrType: _check_text,
}


def _key_check(check_key: Check) -> Check:
    def check(key: Any) -> None:
        if key is None or isinstance(key, bool):
            raise WrongValue(f"{key!r} is no key of this type in JSON")
        check_key(key)

    return check


def _struct_check(info: kinds.StructType, checks: list[tuple[str, Check]]) -> Check:
    class_: type[Any] = get_origin(info.cls) or info.cls
    optional = unset_fields(class_)

    def values_of(value: Any) -> Mapping[str, Any]:
        return {
            name: own
            for name, _ in checks
            if (own := getattr(value, name, msgspec.UNSET)) is not msgspec.UNSET
        }

    required = [name for name, _ in checks if name not in optional]
    check_fields = fields_check(class_, values_of, required, checks)

    def check(value: Any) -> None:
        if type(value) is not class_:  # a subclass may have more fields
            raise unexpected(class_, value)
        check_fields(value)

    return check


def unset_fields(class_: type[Any]) -> frozenset[str]:
    """The fields that may be UNSET: they are not written then."""
    hints = get_type_hints(class_, include_extras=True)
    return frozenset(name for name, hint in hints.items() if _names_unset(hint))


def _names_unset(hint: Any) -> bool:
    return hint is msgspec.UnsetType or any(map(_names_unset, get_args(hint)))
