"""Makes pydantic read the numbers of JSON as they are written there, or refuse them.

By itself, it reads NaN, Infinity and 1e999 into a float, which JSON cannot write again, an integer
beyond 2**53 into the float next to it, and a decimal from a number by way of a double, which has 17
digits at most. A fraction in the place of a float is the double next to it, as for every reader.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

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


_LEAST_INEXACT = 2.0**53
"""Below it every integer is a float."""

_MAY_GO_ON = frozenset({"union", "function-wrap", "generator"})
"""What may take another way where a float within is refused, or refuse it too late."""


@dataclass(frozen=True, slots=True)
class _Within:
    """What stands around a schema: a model that declares how NaN is written, one of the above."""

    keeps_nan: bool = False
    may_go_on: bool = False


_NOTHING = _Within()

Change = Callable[[dict[str, Any], _Within], Any]


@dataclass(frozen=True, slots=True)
class QuickDecoder:
    """Reads most values in compiled code alone.

    Attributes:
        decode: reads a value, or raises a `ValueError`.
        otherwise: reads what it has refused, or tells what is wrong with it.
    """

    decode: Callable[[bytes], Any]
    otherwise: Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Decoder:
    """Reads bytes of JSON as a type, without a loss in its numbers.

    Attributes:
        decode: reads a value.
        quick: the two steps in which it does so, if it does.
    """

    decode: Callable[[bytes], Any]
    quick: QuickDecoder | None = None


def decoder_for(adapter: TypeAdapter[Any]) -> Decoder:
    """What reads bytes of JSON as a type, without a loss in its numbers.

    Where the type has neither floats nor decimals, this is pydantic's own.
    """
    schema: Any = adapter.core_schema
    kinds = kinds_in(schema)
    if not kinds & {"float", "decimal"}:
        return Decoder(adapter.validator.validate_json)
    schema = _changed(schema, _only_finite)
    floats = _float_decoder(schema) if "float" in kinds else Decoder(_reader(schema))
    if "decimal" not in kinds:
        return floats
    decode, exact = floats.decode, _ExactDecimals()
    decode_exactly = _reader(_changed(_changed(schema, exact.wrapped), _exact_float))

    def decode_decimals(data: bytes) -> Any:
        if not data or _LONG_NUMBER.search(data) is None:
            return decode(data)
        with exact.numbers_of(data):
            return decode_exactly(data)

    return Decoder(decode_decimals)


def _float_decoder(schema: Any) -> Decoder:
    """Reads floats of usual size in compiled code, and looks at larger ones one by one."""
    quick = _reader(_bounded(schema, kinds_in(schema)))
    decode_exactly = _reader(_changed(schema, _exact_float))

    def decode(data: bytes) -> Any:
        try:
            return quick(data)
        except ValueError:
            return decode_exactly(data)

    return Decoder(decode, QuickDecoder(quick, decode_exactly))


def _bounded(schema: Any, kinds: set[str]) -> Any:
    """The schema with floats of usual size only, but where another way could be taken instead."""
    # What a union refers to may be anywhere.
    is_anywhere = "definitions" in kinds and bool(kinds & _MAY_GO_ON)
    return _changed(schema, _exact_float if is_anywhere else _usual_float)


def _usual_float(schema: dict[str, Any], within: _Within) -> Any:
    if within.may_go_on:
        return _exact_float(schema, within)
    if schema["type"] == "float":
        schema["lt"] = min(_LEAST_INEXACT, schema.get("lt", _LEAST_INEXACT))
        schema["gt"] = max(-_LEAST_INEXACT, schema.get("gt", -_LEAST_INEXACT))
    return schema


def _exact_float(schema: dict[str, Any], _within: _Within) -> Any:
    """The schema of a float, made to refuse integers that no float equals."""
    if schema["type"] != "float":
        return schema
    function = {"type": "no-info", "function": _refuse_inexact}
    return {"type": "function-before", "function": function, "schema": schema}


def _refuse_inexact(value: Any) -> Any:
    if type(value) is int and abs(value) > _LEAST_INEXACT:
        try:
            is_exact = int(float(value)) == value
        except OverflowError:
            is_exact = False
        if not is_exact:
            raise ValueError("no float equals this integer; declare the field as int or Decimal")
    return value


def kinds_in(schema: Any) -> set[str]:
    """Kinds of all schemas in a core schema."""
    found: set[str] = set()

    def note(one: dict[str, Any], _within: _Within) -> Any:
        found.add(one["type"])
        return one

    _changed(schema, note)
    return found


def _reader(schema: Any) -> Callable[[bytes], Any]:
    # Without this the validators of nested models are taken as pydantic has built them.
    return SchemaValidator(schema, None, _use_prebuilt=False).validate_json


def _changed(schema: Any, change: Change, within: _Within = _NOTHING) -> Any:
    """A copy of a core schema in which every schema is changed, the innermost first."""
    copy = dict(schema)
    if (config := copy.get("config")) is not None:
        within = replace(
            within, keeps_nan=config.get("ser_json_inf_nan") in ("constants", "strings")
        )
    if copy["type"] in _MAY_GO_ON:
        within = replace(within, may_go_on=True)
    for name in _WITH_ONE:
        if isinstance(inner := copy.get(name), dict):
            copy[name] = _changed(inner, change, within)
    for name in _WITH_SEVERAL:
        inner = copy.get(name)
        if isinstance(inner, list):
            copy[name] = [_changed_part(one, change, within) for one in inner]
        elif isinstance(inner, dict) and name in ("choices", "fields"):
            copy[name] = {key: _changed_part(one, change, within) for key, one in inner.items()}
    return change(copy, within)


def _changed_part(part: Any, change: Change, within: _Within) -> Any:
    if isinstance(part, tuple):  # a choice of a union with its label
        return _changed(part[0], change, within), *part[1:]
    return _changed(part, change, within) if isinstance(part, dict) else part


def _only_finite(schema: dict[str, Any], within: _Within) -> Any:
    if schema["type"] == "float" and not within.keeps_nan:
        schema.setdefault("allow_inf_nan", False)
    return schema


class _ExactDecimals:
    """The exact decimals of the doubles that pydantic makes of the numbers in some JSON."""

    def __init__(self) -> None:
        self._local = threading.local()

    def wrapped(self, schema: dict[str, Any], _within: _Within) -> Any:
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
