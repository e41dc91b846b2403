"""Makes a JSON schema ready for the containment check."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema_rs import CanonicalSchema, canonicalize
from jsonschema_rs.canonical import CanonicalKind, RawView

from streamapp.registry.opaque import pattern_of_format

MAX_DEPTH = 64
"""How deep schemas may be nested; the library's own limit is not far beyond."""

MAX_PARTS = 20_000
"""How many schemas may be within one."""

_OF_NAMES = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_FOR_PEOPLE = (
    "$comment", "contentEncoding", "contentMediaType", "contentSchema", "default", "deprecated",
    "description", "discriminator", "examples", "readOnly", "title", "writeOnly",
)  # fmt: skip
_TURNING = ("not", "if", "oneOf", "contains")
"""Where a schema that takes less may make the whole take more."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A JSON schema as the check takes it.

    Attributes:
        schema: the schema, with a pattern for each format; `None` if there is none.
        canonical: the library's form; `None` if it has none.
        unknown: why nothing is certain about it; empty if the library understands it.
    """

    schema: Mapping[str, Any] | bool | None
    canonical: CanonicalSchema | None
    unknown: str = ""


def prepare(schema: dict[str, Any] | bool) -> Prepared:
    """Prepare a schema. Nothing is fetched: a reference to another document is unknown."""
    try:
        ready = _Preparation().made(schema)
    except _TooLargeError as error:
        return Prepared(None, None, str(error))
    try:
        canonical = canonicalize(ready, offline=True)
    except Exception as error:  # noqa: BLE001 - a young library; its errors have no common class
        return Prepared(ready, None, f"its JSON schema is not valid: {_first_line(error)}")
    return Prepared(ready, canonical, _not_understood(canonical))


def _not_understood(canonical: CanonicalSchema) -> str:
    if canonical.kind != CanonicalKind.RAW:
        return ""
    view = canonical.view()
    place = view.pointer if isinstance(view, RawView) else None
    return f"its JSON schema has keywords that cannot be compared{f', at {place}' if place else ''}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


class _TooLargeError(Exception):
    """The schema is too deep or too large, or turns a format round."""


class _Preparation:
    """Copies a schema without what is for people, and with patterns in place of formats."""

    def __init__(self) -> None:
        self._parts = 0

    def made(self, schema: Any, depth: int = 0, *, turned: bool = False) -> Any:
        """The schema as the library is to see it.

        Raises:
            _TooLargeError: nothing can be said about it.
        """
        self._parts += 1
        if depth > MAX_DEPTH:
            raise _TooLargeError(f"its JSON schema is nested deeper than {MAX_DEPTH} levels")
        if self._parts > MAX_PARTS:
            raise _TooLargeError(f"its JSON schema has more than {MAX_PARTS} parts")
        if not isinstance(schema, dict):
            return schema
        return dict(self._items(schema, depth + 1, turned=turned))

    def _items(
        self, schema: Mapping[str, Any], depth: int, *, turned: bool
    ) -> Iterator[tuple[str, Any]]:
        both = list(schema.get("allOf", ()))
        for name, value in schema.items():
            inner_turned = turned or name in _TURNING
            if name in _FOR_PEOPLE or name == "allOf":
                continue
            if name == "format" and isinstance(value, str):
                if turned:
                    raise _TooLargeError(
                        "its JSON schema has a format within not, if, oneOf or contains, which"
                        " cannot be compared"
                    )
                if (pattern := pattern_of_format(value)) is not None:
                    both.append({"pattern": pattern})
                yield name, value
            elif name in _OF_NAMES and isinstance(value, dict):
                yield (
                    name,
                    {key: self.made(one, depth, turned=turned) for key, one in value.items()},
                )
            elif isinstance(value, list) and (name in _LISTS or name == "items"):
                yield name, [self.made(one, depth, turned=inner_turned) for one in value]
            elif name in _SINGLE:
                yield name, self.made(value, depth, turned=inner_turned)
            else:
                yield name, value
        if both:
            yield "allOf", [self.made(one, depth, turned=turned) for one in both]
