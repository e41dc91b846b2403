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


def needed_fields(form: JsonForm) -> frozenset[str]:
    """The fields that an input needs, as far as the outermost part of its schema says."""
    whole = _outermost(form)
    return _required(whole) if whole.get("type") == "object" else frozenset()


def certain_fields(form: JsonForm) -> frozenset[str] | None:
    """The fields that every output has; `None` if the outermost part does not say it all."""
    whole = _outermost(form)
    if not whole or not _SIMPLE.issuperset(whole):
        return None if whole.get("type") in (None, "object") else frozenset()
    return _required(whole) if whole.get("type") == "object" else frozenset()


def kind_of(form: JsonForm) -> str | None:
    """The kind of all values, such as `object`; `None` if the outermost part does not say."""
    kind = _outermost(form).get("type")
    return kind if isinstance(kind, str) else None


def _outermost(form: JsonForm) -> dict[str, Any]:
    schema: Any = form.schema
    if not isinstance(schema, Mapping):
        return {}
    return followed(schema, {**schema.get("definitions", {}), **schema.get("$defs", {})})


def _required(schema: Mapping[str, Any]) -> frozenset[str]:
    required = schema.get("required", ())
    names = required if isinstance(required, list | tuple) else ()
    return frozenset(one for one in names if isinstance(one, str))
