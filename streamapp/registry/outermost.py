"""What the outermost part of a JSON schema says of fields, without asking the library."""

from collections.abc import Mapping
from typing import Any

from streamapp.registry.describe_schema import followed
from streamapp.registry.json_forms import JsonForm

_SIMPLE = frozenset(
    {
        "$defs", "$id", "$schema", "additionalProperties", "default", "definitions", "description",
        "examples", "patternProperties", "properties", "propertyNames", "required", "title", "type",
    }
)  # fmt: skip


Fields = Mapping[str, str | None]
"""Names of fields with the kind of their values; `None` if the schema does not simply say it."""


def needed_fields(form: JsonForm) -> Fields:
    """The fields that an input needs, as far as the outermost part of its schema says."""
    whole = _outermost(form)
    return _required(whole) if whole.get("type") == "object" else {}


def certain_fields(form: JsonForm) -> Fields | None:
    """The fields that every output has; `None` if the outermost part does not say it all."""
    whole = _outermost(form)
    kind = whole.get("type")
    if not whole or not _SIMPLE.issuperset(whole):
        return None if kind in (None, "object") else {}
    return _required(whole) if kind == "object" else {}


def may_fit(needed: Fields, certain: Fields | None) -> bool:
    """Whether an output with these fields may fit an input that needs those; no is certain."""
    if certain is None:
        return True
    return all(name in certain and _agree(kind, certain[name]) for name, kind in needed.items())


def kind_of(form: JsonForm) -> str | None:
    """The kind of all values, such as `object`; `None` if the outermost part does not say."""
    kind = _outermost(form).get("type")
    return kind if isinstance(kind, str) else None


def _agree(one: str | None, other: str | None) -> bool:
    return one == other or None in (one, other) or _NUMBERS.issuperset((one, other))


_NUMBERS = {"integer", "number"}
"""Some numbers are integers."""


def _outermost(form: JsonForm) -> Mapping[str, Any]:
    schema: Any = form.schema
    if not isinstance(schema, dict):
        return {}
    if "$ref" not in schema:
        return schema
    return followed(schema, {**schema.get("definitions", {}), **schema.get("$defs", {})})


def _required(schema: Mapping[str, Any]) -> Fields:
    required, properties = schema.get("required", ()), schema.get("properties", {})
    if not isinstance(required, list) or not isinstance(properties, dict):
        return {}
    return {name: _kind(properties.get(name)) for name in required if isinstance(name, str)}


def _kind(schema: object) -> str | None:
    kind = schema.get("type") if isinstance(schema, dict) and "$ref" not in schema else None
    return kind if isinstance(kind, str) else None
