"""Writes values as JSON by pydantic, and refuses what JSON or the declared type does not have.

By itself, pydantic writes a model of another class with the fields that both have, and NaN as null.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError, to_json

from streamapp.exact_numbers import kinds_in

Check = Callable[[Any, str], None]
"""Raises a `ValueError` that begins with the path if a value is not of the declared type."""

_LOOSE = frozenset({"float", "any", "union", "tagged-union", "decimal"})
_WRAPPERS = frozenset(
    {"default", "function-before", "function-after", "function-wrap", "definitions", "nullable"}
)
_CLASSES: dict[str, type[Any]] = {"list": list, "set": set, "frozenset": frozenset, "tuple": tuple}
_SEQUENCES = frozenset(_CLASSES)
_TYPES: dict[str, tuple[type[Any], ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "decimal": (Decimal,),
    "datetime": (datetime,),
    "date": (date,),
    "time": (time,),
    "timedelta": (timedelta,),
    "uuid": (UUID,),
}
_EXPECTED = re.compile(
    r"(Expected `[^`]*`).*?(?:field_name='(\w+)'.*?)?input_type=(\w+)", re.DOTALL
)


def checked_encoder(adapter: TypeAdapter[Any], *, is_class: bool) -> Callable[[Any], bytes]:
    """What writes values of a type by pydantic, by their aliases.

    If the type is a class, a value is taken to be an instance of it.

    It raises a `ValueError` with the path of a value of another class than declared, and of a float
    that JSON does not have.
    """
    schema: Any = adapter.core_schema
    serializer = adapter.serializer
    to_json = serializer.to_json
    check = Classes(schema).check_of(schema, is_root=is_class)
    find = Classes(schema, everything=True).check_of(schema)
    may_be_nan = bool(kinds_in(schema) & _LOOSE) or "float" in str(schema.get("config"))

    def encode(value: Any) -> bytes:
        if check is not None:
            check(value, "")
        try:
            encoded: bytes = to_json(value, by_alias=True, warnings="error")
        except PydanticSerializationError as error:
            if find is not None:
                find(value, "")  # pydantic does not tell the path
            raise ValueError(_described(error, value)) from error
        if may_be_nan and b"null" in encoded:
            refuse_non_finite(serializer.to_python(value, by_alias=True), "")
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
        return f"{_unwritable_path(value) or 'value'}: {error}"
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


@dataclass(frozen=True, slots=True)
class Classes:
    """Makes checks of the classes of models and dataclasses within a value.

    Args:
        root: core schema of the type, with its definitions.
        everything: check text, numbers and containers as well, which pydantic does itself.
    """

    root: Mapping[str, Any]
    everything: bool = False

    def check_of(  # noqa: PLR0911 - one branch for each kind of schema
        self, schema: Mapping[str, Any], *, is_root: bool = False
    ) -> Check | None:
        """The check of one schema; `None` if there is nothing to check."""
        kind = schema["type"]
        if schema.get("serialization"):
            return None  # what a serialiser of the user's takes is not known
        if kind in ("model", "dataclass"):
            return self._of_class(schema, is_root=is_root)
        if kind == "definition-ref":
            return self._of_reference(schema["schema_ref"])
        if kind in _WRAPPERS:
            return self._of_wrapped(schema, is_root=is_root)
        if kind in _SEQUENCES:
            return self._of_sequence(schema)
        if kind == "dict":
            return self._of_dict(schema)
        if kind == "typed-dict":
            return self._of_fields(schema["fields"], _as_it_is)
        if kind in ("union", "tagged-union"):
            return self._of_union(schema)
        return _instance_check(*_TYPES[kind]) if self.everything and kind in _TYPES else None

    def _of_class(self, schema: Mapping[str, Any], *, is_root: bool) -> Check | None:
        class_, inner = schema["cls"], schema["schema"]
        while inner["type"] in _WRAPPERS:
            inner = inner["schema"]
        declared = inner.get("fields")
        if isinstance(declared, list):  # of a dataclass
            declared = {field["name"]: field for field in declared}
        rest = self._of_fields(declared, _attributes) if declared else None
        if is_root and rest is None:
            return None  # the caller has checked its class

        def check(value: Any, path: str) -> None:
            if not isinstance(value, class_):
                raise _unexpected(class_, value, path)
            if rest is not None:
                rest(value, path)

        return check

    def _of_fields(
        self, declared: Mapping[str, Any], values_of: Callable[[Any], Any]
    ) -> Check | None:
        checks = {
            name: check
            for name, field in declared.items()
            if not field.get("serialization_exclude")
            and (check := self.check_of(field["schema"])) is not None
        }
        if not checks:
            return None

        def check_fields(value: Any, path: str) -> None:
            values = values_of(value)
            if not isinstance(values, Mapping):
                raise _unexpected(dict, value, path)
            for name, check in checks.items():
                if name in values:
                    check(values[name], _joined(path, name))

        return check_fields

    def _of_reference(self, name: str) -> Check:
        made: list[Check | None] = []

        def check(value: Any, path: str) -> None:
            if not made:  # when it is first used: a type may refer to itself
                made.append(self.check_of(self._definition(name)))
            if made[0] is not None:
                made[0](value, path)

        return check

    def _definition(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any]
        [found] = [one for one in self.root["definitions"] if one["ref"] == name]
        return found

    def _of_wrapped(self, schema: Mapping[str, Any], *, is_root: bool) -> Check | None:
        inner = self.check_of(schema["schema"], is_root=is_root)
        if inner is None or schema["type"] != "nullable":
            return inner

        def check(value: Any, path: str) -> None:
            if value is not None:
                inner(value, path)

        return check

    def _of_sequence(self, schema: Mapping[str, Any]) -> Check | None:
        items = schema.get("items_schema")
        if items is None:
            return None
        variadic = schema.get("variadic_item_index") if isinstance(items, list) else 0
        checks = [self.check_of(one) for one in (items if isinstance(items, list) else [items])]
        if not any(checks):
            return None
        expected = _CLASSES[schema["type"]]

        def check(value: Any, path: str) -> None:
            if not isinstance(value, expected):
                raise _unexpected(expected, value, path)
            for i, one in enumerate(value):
                at = i if variadic is None else min(i, variadic)
                if at < len(checks) and (item := checks[at]) is not None:
                    item(one, _joined(path, i))

        return check

    def _of_dict(self, schema: Mapping[str, Any]) -> Check | None:
        values = schema.get("values_schema")
        inner = self.check_of(values) if values is not None else None
        if inner is None:
            return None

        def check(value: Any, path: str) -> None:
            if not isinstance(value, dict):
                raise _unexpected(dict, value, path)
            for key, one in value.items():
                inner(one, _joined(path, key))

        return check

    def _of_union(self, schema: Mapping[str, Any]) -> Check | None:
        choices = schema["choices"]
        if isinstance(choices, dict):
            choices = list(choices.values())
        checks = [self.check_of(one[0] if isinstance(one, tuple) else one) for one in choices]
        if not all(checks):
            return None  # pydantic itself refuses what is of no choice

        def check(value: Any, path: str) -> None:
            told = ""
            for choice in checks:
                assert choice is not None  # noqa: S101 - looked at above
                try:
                    choice(value, path)
                except (ValueError, AttributeError, TypeError) as error:
                    told = told or str(error)
                else:
                    return
            raise ValueError(told)

        return check


def _instance_check(*types: type[Any]) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, types):
            raise _unexpected(types[0], value, path)

    return check


def _unexpected(expected: type[Any], value: Any, path: str) -> ValueError:
    told = f"expected {expected.__name__}, got {type(value).__name__}"
    return ValueError(f"{path or 'value'}: {told}")


def _as_it_is(value: Any) -> Any:
    return value


def _attributes(value: Any) -> dict[str, Any]:
    found: dict[str, Any] | None = getattr(value, "__dict__", None)
    if found is not None:
        return found
    names = [field.name for field in fields(value)]  # of a dataclass with slots
    return {name: getattr(value, name) for name in names if hasattr(value, name)}
