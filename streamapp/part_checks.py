"""Checks of values that have parts: fields, items, keys and values, one choice of several.

They are called for each value that pydantic writes, so they take the path of a wrong value from
the error on its way up, and look first for what is right without a call for each part.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamapp.leaf_checks import Check, WrongValue, unexpected


def class_check(
    class_: type[Any], part_of: Callable[[Any], Any], check_part: Check | None
) -> Check:
    """The check of a value of a class, and of the one part that is written of it."""

    def check(value: Any) -> None:
        if not isinstance(value, class_):
            raise unexpected(class_, value)
        if check_part is not None:
            check_part(part_of(value))

    return check


def fields_check(
    class_: type[Any],
    values_of: Callable[[Any], Mapping[str, Any]],
    required: list[str],
    checks: Sequence[tuple[str, Check]],
) -> Check:
    """The check of a value with fields.

    Args:
        class_: the class of the value.
        values_of: gets the values of its fields by their names.
        required: names of the fields that it has to have, in the order that is usual.
        checks: of fields, by their names.
    """

    def check(value: Any) -> None:
        if not isinstance(value, class_):
            raise unexpected(class_, value)
        values = values_of(value)
        if list(values) != required:
            _require(required, values)
        name = ""
        try:
            for name, check_field in checks:
                if name in values:
                    check_field(values[name])
        except WrongValue as error:
            raise error.under(name) from None

    return check


def _require(names: list[str], values: Mapping[str, Any]) -> None:
    for name in names:
        if name not in values:
            raise WrongValue("it is missing").under(name)


def items_check(class_: type[Any], check_item: Check | None, plain: frozenset[type]) -> Check:
    """The check of a sequence of items of one type; those of exactly a plain type need none."""

    def check(value: Any) -> None:
        if not isinstance(value, class_):
            raise unexpected(class_, value)
        if check_item is None or (plain and plain.issuperset(map(type, value))):
            return
        i = 0
        try:
            for i, one in enumerate(value):  # noqa: B007 - the error tells it
                check_item(one)
        except WrongValue as error:
            raise error.under(i) from None

    return check


def tuple_check(checks: Sequence[Check | None]) -> Check:
    """The check of a tuple with a type for each place."""

    def check(value: Any) -> None:
        if not isinstance(value, tuple):
            raise unexpected(tuple, value)
        if len(value) != len(checks):
            raise WrongValue(f"expected {len(checks)} items, got {len(value)}")
        for i, (check_item, one) in enumerate(zip(checks, value, strict=True)):
            _check_part(check_item, i, one)

    return check


def dict_check(
    check_key: Check, plain_keys: frozenset[type], check_value: Check | None, plain: frozenset[type]
) -> Check:
    """The check of a dictionary; keys and values of exactly a plain type need none."""

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise unexpected(dict, value)
        if not plain_keys.issuperset(map(type, value)):
            for key in value:
                _check_part(check_key, key, key)
        if check_value is not None and not (plain and plain.issuperset(map(type, value.values()))):
            check_values(value, check_value)

    return check


def check_values(values: Mapping[Any, Any], check: Check) -> None:
    """Check the values of a mapping."""
    key: Any = ""
    try:
        for key, one in values.items():  # noqa: B007 - the error tells it
            check(one)
    except WrongValue as error:
        raise error.under(key) from None


def choice_check(checks: Sequence[Check]) -> Check:
    """The check of a value that one of these has to accept."""

    def check(value: Any) -> None:
        told: WrongValue | None = None
        for check_choice in checks:
            try:
                check_choice(value)
            except WrongValue as error:
                if told is None or len(error.path) > len(told.path):
                    told = error  # of the choice that fits best
            else:
                return
        if told is not None:
            raise told

    return check


def _check_part(check: Check | None, part: object, value: Any) -> None:
    if check is not None:
        try:
            check(value)
        except WrongValue as error:
            raise error.under(part) from None
