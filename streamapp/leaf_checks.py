"""Checks of values that have no parts: text, numbers, times, literals, keys."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from types import NoneType
from typing import Any
from uuid import UUID

from pydantic_core import TzInfo

from streamapp.exact_numbers import kinds_in

Check = Callable[[Any], None]
"""Raises `WrongValue` if a value is not of the declared type."""


class WrongValue(ValueError):  # noqa: N818 - who catches it takes it for a ValueError
    """A value that is not of its declared type; the message begins with its path."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.path: list[str] = []

    def under(self, part: object) -> "WrongValue":
        """The same error, seen from the value that has the wrong one as this part."""
        self.path.insert(0, str(part) or repr(part))
        return self

    def __str__(self) -> str:
        return f"{'.'.join(self.path) or 'value'}: {self.args[0]}"


def unexpected(expected: type[Any], value: Any) -> WrongValue:
    """The error of a value of another type than expected."""
    return WrongValue(f"expected {expected.__name__}, got {type(value).__name__}")


def leaf_check(
    schema: Mapping[str, Any], *, complete: bool, finite: bool, in_union: bool
) -> Check | None:
    """The check of a core schema without parts; `None` if there is nothing to check.

    Args:
        schema: the core schema.
        complete: check as well what pydantic refuses itself, and what it writes as null.
        finite: NaN and infinite floats are wrong, if the check is complete.
        in_union: in a union, pydantic takes only a float for a float.
    """
    kind = schema["type"]
    if kind == "literal":
        return _literal_check(schema["expected"])
    if kind == "float":
        check = _instance_check(float) if in_union else _check_float
        return _finite_check(check) if complete and finite else check
    if kind == "decimal" and schema.get("allow_inf_nan"):
        return _check_decimal
    if kind == "enum":
        return _instance_check(schema["cls"]) if complete else None
    found = _UNNOTICED.get(kind)
    return _REFUSED.get(kind) if found is None and complete else found


def key_check(schema: Mapping[str, Any], check: Check | None) -> Check:
    """The check of a key, which JSON has as text only.

    Args:
        schema: the core schema of the keys.
        check: of a value of this type.
    """
    takes_booleans = not kinds_in(schema).isdisjoint({"any", "bool"})

    def check_key(key: Any) -> None:
        if key is None or (isinstance(key, bool) and not takes_booleans):
            raise WrongValue(f"{key!r} is no key of this type in JSON")
        if check is not None:
            check(key)
        if isinstance(key, float) and not isfinite(key):
            raise WrongValue(f"{key!r} is no number in JSON")

    return check_key


def _instance_check(class_: type[Any]) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, class_):
            raise unexpected(class_, value)

    return check


def _literal_check(expected: Sequence[Any]) -> Check:
    def check(value: Any) -> None:
        for one in expected:
            if value is one or (isinstance(value, type(one)) and value == one):
                return
        raise WrongValue("is none of the values that its type has")

    return check


def _check_float(value: Any) -> None:
    """Require a float, or another number that is written as a float that equals it."""
    if isinstance(value, float):
        return
    try:
        is_same = bool(float(value) == value)
    except (TypeError, ValueError, OverflowError):
        is_same = False
    if is_same:
        return
    if isinstance(value, int):
        raise WrongValue("an integer that no float is equal to")
    raise unexpected(float, value)


def _finite_check(check_float: Check) -> Check:
    def check(value: Any) -> None:
        check_float(value)
        if not isfinite(value):
            raise WrongValue(f"{value!r} is no number in JSON")

    return check


def _check_decimal(value: Any) -> None:
    if not isinstance(value, Decimal):
        raise unexpected(Decimal, value)


def _check_finite_decimal(value: Any) -> None:
    if not isinstance(value, Decimal):
        raise unexpected(Decimal, value)
    if not value.is_finite():
        raise WrongValue(f"{value!r} is no number in JSON")


def _check_date(value: Any) -> None:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise unexpected(date, value)


def _offset_check(class_: type[datetime] | type[time]) -> Check:
    """The check of a time: JSON has the offset of its zone in whole minutes."""

    def check(value: Any) -> None:
        if not isinstance(value, class_):
            raise unexpected(class_, value)
        zone = value.tzinfo
        if zone is None or zone is UTC or type(zone) is TzInfo:  # which is what JSON is read into
            return
        offset = value.utcoffset()
        if offset is not None and (offset.seconds % 60 or offset.microseconds):
            raise WrongValue("its offset from UTC is no whole number of minutes")

    return check


_UNNOTICED: dict[str, Check] = {
    "decimal": _check_finite_decimal,
    "datetime": _offset_check(datetime),
    "time": _offset_check(time),
}
"""Checks of what pydantic writes, although it is wrong."""

_REFUSED: dict[str, Check] = {
    "str": _instance_check(str),
    "int": _instance_check(int),
    "bool": _instance_check(bool),
    "bytes": _instance_check(bytes),
    "none": _instance_check(NoneType),
    "timedelta": _instance_check(timedelta),
    "uuid": _instance_check(UUID),
    "date": _check_date,
}
"""Checks of what pydantic refuses, but for None."""

LEAF_KINDS = frozenset({"enum", "float", "literal"}) | _UNNOTICED.keys() | _REFUSED.keys()
"""Kinds of core schemas that a complete check knows."""
