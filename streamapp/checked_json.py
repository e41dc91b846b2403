"""Writes values as JSON by pydantic, and refuses what JSON or the declared type does not have.

By itself, pydantic writes a model of another class with the fields that both have, and None and NaN
as null.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError, to_json

from streamapp.declared_types import CHECKED_KINDS, DeclaredTypes
from streamapp.exact_numbers import kinds_in

_OWN_FORMS = re.compile("'serialization': {|'computed_fields': \\[{")
"""What declares of a core schema that something else is written than its values as they are."""

_EXPECTED = re.compile(
    r"(Expected `[^`]*`).*?(?:field_name='(\w+)'.*?)?input_type=(\w+)", re.DOTALL
)

_INPUT = re.compile(r"input_value=.*?, (?=input_type=)| with value `.*?`(?= - )", re.DOTALL)
"""The value itself does not belong into an error."""


def checked_encoder(adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    """What writes values of a type by pydantic, by their aliases.

    It raises a `ValueError` with the path of a value of another type than declared, of None where
    it is not declared, and of a number that JSON does not have or a float is not equal to.
    """
    schema: Any = adapter.core_schema
    serializer = adapter.serializer
    to_json = serializer.to_json
    check = DeclaredTypes(schema).check_of(schema)
    check_all = DeclaredTypes(schema, complete=True).check_of(schema)
    may_be_nan = not kinds_in(schema) <= CHECKED_KINDS or bool(_OWN_FORMS.search(str(schema)))

    def encode(value: Any) -> bytes:
        try:
            encoded: bytes = to_json(value, by_alias=True, warnings="error")
        except PydanticSerializationError as error:
            if check_all is not None:
                check_all(value)  # pydantic does not tell the path
            raise ValueError(_described(error, value)) from error
        if b"null" in encoded:  # where None may stand is not checked otherwise: it takes long
            if check_all is not None:
                check_all(value)
            if may_be_nan:
                refuse_non_finite(serializer.to_python(value, by_alias=True), "")
        elif check is not None:  # which is a part of the other
            check(value)
        return encoded

    return encode


def refuse_non_finite(value: Any, path: str) -> None:
    """Require all floats in a value to be numbers that JSON has.

    Raises:
        ValueError: one is NaN or infinite; the message begins with its path.
    """
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{path or 'value'}: {value!r} is no number in JSON")
    elif isinstance(value, Mapping):
        for key, one in value.items():
            refuse_non_finite(key, _joined(path, key))
            refuse_non_finite(one, _joined(path, key))
    elif isinstance(value, list | tuple | set | frozenset):
        for i, one in enumerate(value):
            refuse_non_finite(one, _joined(path, i))
    elif isinstance(value, BaseModel) or is_dataclass(value):  # under `Any`
        refuse_non_finite(_attributes(value), path)


def _described(error: PydanticSerializationError, value: Any) -> str:
    """What pydantic says on a value of a wrong type, without the value."""
    found = _EXPECTED.search(str(error))
    if found is None:
        told = _INPUT.sub("", str(error))
        return f"{_unwritable_path(value) or 'value'}: {told}"
    expected, name, kind = found.groups()
    return f"{name or 'value'}: {expected}, got {kind}"


def _unwritable_path(value: Any) -> str:
    """The path within dictionaries and lists of what has no form in JSON."""
    parts: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    for part, one in parts:
        try:
            to_json(one)
        except PydanticSerializationError:
            return _joined(str(part), inner) if (inner := _unwritable_path(one)) else str(part)
    return ""


def _joined(path: str, part: object) -> str:
    return f"{path}.{part}" if path else str(part)


def _attributes(value: Any) -> dict[str, Any]:
    found: dict[str, Any] | None = getattr(value, "__dict__", None)
    if found is not None:
        return found
    names = [field.name for field in fields(value)]  # of a dataclass with slots
    return {name: getattr(value, name) for name in names if hasattr(value, name)}
