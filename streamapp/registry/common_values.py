"""Values that are valid for several schemas at once; only what is proven is said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema_rs import CanonicalSchema, canonicalize
from jsonschema_rs.canonical import CanonicalizationError, Satisfiability

from streamapp.registry.describe_schema import followed, in_words
from streamapp.registry.schemas import Schema

MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why no value is read as both of two schemas.

    Attributes:
        path: the field; empty for the whole value.
        one: what it has to be for the one schema, in words.
        other: the same for the other.
    """

    path: str
    one: str
    other: str


def conflict(one: Schema, other: Schema) -> Conflict | None:
    """Why no value is read as both; `None` if there may be one.

    More may be read as a type than its schema tells, so only JSON schemas are compared.
    """
    for schema in (one, other):
        if not schema.stands_alone or schema.read.unknown:
            return None
    if one is other or not _exclude(one.read.canonical, other.read.canonical):
        return None
    # A format stands for a pattern there, which no other text has; here it says nothing of texts.
    return _between(one.json_schema, other.json_schema, _Both(one.json_schema, other.json_schema))


def narrowed(given: Schema, asked: Sequence[Any]) -> Schema | None:
    """The values of a schema that are valid for JSON schemas as well; `None` if nobody can say.

    Args:
        given: what is written; bound.
        asked: JSON schemas without references.
    """
    written = given.written.schema
    if given.json_schema is not None and not given.stands_alone:
        return None
    if given.written.unknown or given.written_form.unknown or not isinstance(written, Mapping):
        return None
    whole = {**written, "allOf": [*written.get("allOf", ()), *asked]}
    try:
        # The library puts fields and requirements into one place, from which a fault is explained.
        made = canonicalize(whole, offline=True).to_json_schema()
    except Exception:  # noqa: BLE001 - a young library; its errors have no common class
        return None
    found = dict(made) if isinstance(made, Mapping) else {"not": {}} if made is False else {}
    found.pop("$schema", None)
    return Schema(given.name, json_schema=found)


class _Both:
    """The definitions of two schemas."""

    def __init__(self, one: Any, other: Any) -> None:
        self.whole = one, other
        self.definitions = tuple(map(_definitions, self.whole))

    def exclude(self, one: Any, other: Any) -> bool:
        """Whether no value is read as both."""
        ready = [
            {**part, **_kept(whole)} if isinstance(part, Mapping) else part
            for part, whole in zip((one, other), self.whole, strict=True)
        ]
        try:
            first, second = (canonicalize(part, offline=True) for part in ready)
        except Exception:  # noqa: BLE001 - a young library; its errors have no common class
            return False
        return _exclude(first, second)


def _exclude(one: CanonicalSchema | None, other: CanonicalSchema | None) -> bool:
    if one is None or other is None:
        return False
    try:
        return one.intersect(other).satisfiability() == Satisfiability.NO
    except CanonicalizationError:
        return False


def _between(one: Any, other: Any, both: _Both, depth: int = 0) -> Conflict | None:
    if not both.exclude(one, other):
        return None
    first, second = (
        followed(part, definitions) if isinstance(part, Mapping) else {}
        for part, definitions in zip((one, other), both.definitions, strict=True)
    )
    for name in dict.fromkeys([*first.get("required", ()), *second.get("required", ())]):
        if depth == MAX_DEPTH:
            break
        found = _between(_field(first, name), _field(second, name), both, depth + 1)
        if found is not None:
            rest = f".{found.path}" if found.path else ""
            return Conflict(f"{name}{rest}", found.one, found.other)
    words = [
        "left out" if part is False else in_words(part, definitions)
        for part, definitions in zip((one, other), both.definitions, strict=True)
    ]
    return Conflict("", *words)


def _field(schema: Mapping[str, Any], name: str) -> Any:
    if "patternProperties" in schema and name not in schema.get("properties", {}):
        return True
    return schema.get("properties", {}).get(name, schema.get("additionalProperties", True))


def _definitions(schema: Any) -> Mapping[str, Any]:
    return {**schema.get("definitions", {}), **schema.get("$defs", {})}


def _kept(schema: Any) -> Mapping[str, Any]:
    return {name: schema[name] for name in ("$defs", "definitions") if name in schema}
