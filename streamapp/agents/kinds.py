"""Kinds of JSON values in words, and when two values are the same.

Errors name the kind of a value and never the value, since they are written to logs and headers.
"""

from typing import Any, Final


class UnfitError(ValueError):
    """A value does not fit; the message has its kind, and not the value."""


class Missing:
    """Stands for a value that is not there, which is not `null`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


def kind_of(value: Any) -> str:
    """The kind of a JSON value, such as `a list`."""
    if value is MISSING:
        return "missing"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def is_number(value: Any) -> bool:
    """Whether it is a number; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def are_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: `1` and `1.0` are, `1` and `true` are not."""
    if is_number(one) and is_number(other):
        return bool(one == other)
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(are_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(are_same(one[k], other[k]) for k in one)
    return bool(one == other)
