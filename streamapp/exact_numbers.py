"""Makes pydantic read the numbers of JSON as they are written there, or refuse them.

By itself, it reads NaN, Infinity and 1e999 into a float, which JSON cannot write again, and it
reads a decimal from a number by way of a double, which has 17 digits at most.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

Change = Callable[[dict[str, Any]], Any]

_WITH_ONE = (
    "schema",
    "items_schema",
    "keys_schema",
    "values_schema",
    "extras_schema",
    "json_schema",
    "python_schema",
    "lax_schema",
    "strict_schema",
)
_WITH_SEVERAL = ("choices", "fields", "definitions", "steps", "items_schema")

_LONG_NUMBER = re.compile(rb"[0-9][0-9.]{15}|[0-9][eE]")
"""A double has 15 digits for certain; an exponent may be beyond what it can have."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?', re.DOTALL)


def decoder_for(adapter: TypeAdapter[Any]) -> Callable[[bytes], Any]:
    """What reads bytes of JSON as a type, without a loss in its numbers.

    Where the type has neither floats nor decimals, this is pydantic's own.
    """
    schema: Any = adapter.core_schema
    kinds = kinds_in(schema)
    if not kinds & {"float", "decimal"}:
        return adapter.validator.validate_json
    schema = _changed(schema, _only_finite)
    decode: Callable[[bytes], Any] = _validator(schema).validate_json
    if "decimal" not in kinds:
        return decode
    exact = _ExactDecimals()
    decode_exactly = _validator(_changed(schema, exact.wrapped)).validate_json

    def decode_decimals(data: bytes) -> Any:
        if not data or _LONG_NUMBER.search(data) is None:
            return decode(data)
        with exact.numbers_of(data):
            return decode_exactly(data)

    return decode_decimals


def kinds_in(schema: Any) -> set[str]:
    """Kinds of all schemas in a core schema."""
    found: set[str] = set()

    def note(one: dict[str, Any]) -> Any:
        found.add(one["type"])
        return one

    _changed(schema, note)
    return found


def _validator(schema: Any) -> SchemaValidator:
    # Without this the validators of nested models are taken as pydantic has built them.
    return SchemaValidator(schema, None, _use_prebuilt=False)


def _changed(schema: Any, change: Change, *, declared: bool = False) -> Any:
    """A copy of a core schema in which every schema is changed, the innermost first.

    Floats of a model that declares how NaN is written are left as they are.
    """
    copy = dict(schema)
    if (config := copy.get("config")) is not None:
        declared = config.get("ser_json_inf_nan") in ("constants", "strings")
    for name in _WITH_ONE:
        if isinstance(inner := copy.get(name), dict):
            copy[name] = _changed(inner, change, declared=declared)
    for name in _WITH_SEVERAL:
        inner = copy.get(name)
        if isinstance(inner, list):
            copy[name] = [_changed_part(one, change, declared=declared) for one in inner]
        elif isinstance(inner, dict) and name in ("choices", "fields"):
            copy[name] = {
                key: _changed_part(one, change, declared=declared) for key, one in inner.items()
            }
    return copy if declared and copy["type"] == "float" else change(copy)


def _changed_part(part: Any, change: Change, *, declared: bool) -> Any:
    if isinstance(part, tuple):  # a choice of a union with its label
        return _changed(part[0], change, declared=declared), *part[1:]
    return _changed(part, change, declared=declared) if isinstance(part, dict) else part


def _only_finite(schema: dict[str, Any]) -> Any:
    if schema["type"] == "float":
        schema.setdefault("allow_inf_nan", False)
    return schema


class _ExactDecimals:
    """The exact decimals of the doubles that pydantic makes of the numbers in some JSON."""

    def __init__(self) -> None:
        self._local = threading.local()

    def wrapped(self, schema: dict[str, Any]) -> Any:
        """The schema of a decimal, made to ask here first; all others as they are."""
        if schema["type"] != "decimal":
            return schema
        function = {"type": "no-info", "function": self._exact}
        return {"type": "function-before", "function": function, "schema": schema}

    @contextmanager
    def numbers_of(self, data: bytes) -> Iterator[None]:
        """Use the numbers of this JSON in the block."""
        found: dict[float, set[Decimal]] = {}
        for token in _TOKEN.findall(data):
            if not token.startswith(b'"'):
                text = token.decode()
                found.setdefault(float(text), set()).add(Decimal(text))
        self._local.found = found
        try:
            yield
        finally:
            self._local.found = {}

    def _exact(self, value: Any) -> Any:
        if type(value) is not float:
            return value
        found: Mapping[float, set[Decimal]] = self._local.found
        decimals = found.get(value, {Decimal(str(value))})
        if len(decimals) > 1:
            raise ValueError("the number differs from another one in more digits than can be told")
        return next(iter(decimals))
