"""JSON schemas in a few words, for messages."""

import json
from collections.abc import Mapping
from typing import Any

_MOST_SHOWN = 4
_LONGEST = 120
_BOUNDS = {
    "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above",
    "exclusiveMaximum": "below", "multipleOf": "a multiple of", "minLength": "of length at least",
    "maxLength": "of length at most", "minItems": "of at least", "maxItems": "of at most",
    "pattern": "matching",
}  # fmt: skip


def in_words(schema: Any, definitions: Mapping[str, Any]) -> str:
    """What a schema takes, such as `integer at least 3 or null`."""
    if schema is True or schema == {}:
        return "anything"
    if schema is False:
        return "nothing"
    schema = followed(schema, definitions)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        shown = " or ".join(json.dumps(value) for value in schema["enum"][:_MOST_SHOWN])
        return shown + (" or others" if len(schema["enum"]) > _MOST_SHOWN else "")
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        words = dict.fromkeys(in_words(one, definitions) for one in choices[:_MOST_SHOWN])
        text = " or ".join(words)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    kind = schema.get("type", "anything")
    return _with_bounds(" or ".join(kind) if isinstance(kind, list) else str(kind), schema)


def followed(schema: Any, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The schema that a reference names; any other as it is."""
    seen: set[str] = set()
    while isinstance(schema, Mapping) and (reference := schema.get("$ref")) is not None:
        name = str(reference).rpartition("/")[2]
        if reference in seen or name not in definitions:
            return {}
        seen.add(reference)
        schema = definitions[name]
    return dict(schema) if isinstance(schema, Mapping) else {}


def _with_bounds(kind: str, schema: Mapping[str, Any]) -> str:
    if form := schema.get("format"):
        kind = f"{kind} ({form})"
    for keyword, words in _BOUNDS.items():
        if keyword in schema:
            kind += f" {words} {schema[keyword]}"
            kind += " items" if keyword == "maxItems" else ""
    return kind
