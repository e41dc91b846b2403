"""Checks that what one stage writes can be read by the next.

A value that is written by one type and read by another, or by the same one, may be refused there:
a field can be written under another name than it is read by, or not at all. Then every record
would fail. So a sample of what is written is made from the type's JSON schema, and read.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from streamapp.serialisation import UNTYPED, codec_for
from streamapp.structs import has_structs
from streamapp.tombstones import value_type

_TEXTS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05",
    "duration": "PT1S",
    "uuid": "12345678-1234-4678-9234-567812345678",
    "email": "name@example.com",
    "uri": "http://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}

_OWN_FORMS = {"function-plain", "function-wrap"}
"""Kinds of serialisers of which nobody can tell what they write."""

_REMEDIES = {
    "missing": (
        "is required, but not written under this name; drop its exclude=True, set alias instead of"
        " validation_alias or serialization_alias, or give it a default"
    ),
    "extra_forbidden": (
        'is written, but not read, and other fields are forbidden; set extra="ignore", or do not'
        " write it: it is a computed field, or has a serialization_alias"
    ),
}


def why_unreadable(written: Any, read: Any) -> str | None:
    """Why nothing that is written as one type can be read as the other, with the remedy.

    Returns:
        A sentence that begins with the path of a field; `None` if no fault is certain. What
        serialisers of whole models write, and what validators refuse, cannot be known.
    """
    if bytes in (written, read) or (written == read and read in UNTYPED):
        return None
    for sample in _samples(written):
        if (reason := _why_not(sample, read)) is not None:
            return reason
    return None


def _why_not(sample: Any, read: Any) -> str | None:
    try:
        value = codec_for(read).decode(json.dumps(sample).encode())
    except ValidationError as error:
        return _described(error, sample)
    except Exception:  # noqa: BLE001 - a validator of the user's own may not take a sample
        return None
    lost = next(_lost_fields(value, ""), None)
    if lost is None:
        return None
    return f"{lost!r} is written under another name than it is read by; set alias for both"


def _described(error: ValidationError, sample: Any) -> str | None:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    certain = [fault for fault in faults if fault["type"] in _REMEDIES]
    # The path of a fault in a union has the names of its choices, each of which has faults.
    direct = [fault for fault in certain if _has_path(sample, fault["loc"][:-1])]
    found = direct[:1] or (certain if len(certain) == len(faults) else [])
    if not found:
        return None
    paths = [".".join(map(str, fault["loc"])) for fault in found]
    return f"{' or '.join(map(repr, paths))} {_REMEDIES[found[0]['type']]}"


def _has_path(sample: Any, path: tuple[int | str, ...]) -> bool:
    for part in path:
        try:
            sample = sample[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _lost_fields(value: Any, path: str) -> Iterator[str]:
    """Paths of fields of models that are written, but were not read from a sample of everything."""
    parts: list[tuple[object, Any]] = []
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if name not in value.model_fields_set and not field.exclude:
                yield f"{path}.{name}" if path else name
        parts = list(value.__dict__.items())
    elif isinstance(value, Mapping):
        parts = list(value.items())
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    for part, one in parts:
        yield from _lost_fields(one, f"{path}.{part}" if path else str(part))


def _samples(type_: Any) -> Iterator[Any]:
    """A sample of what is written for each choice of a type; none if that cannot be known."""
    schema = _struct_schema(type_) if has_structs(type_) else _written_schema(type_)
    if schema is None:
        return
    sampler = _Sampler(schema.get("$defs", {}))
    top = sampler.resolved(schema)
    for choice in top.get("anyOf") or top.get("oneOf") or [schema]:
        try:
            yield sampler.sample(choice, ())
        except RecursionError:
            continue


def _written_schema(type_: Any) -> dict[str, Any] | None:
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    if not _OWN_FORMS.isdisjoint(_serialisers(adapter.core_schema)):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on defaults that have no form in JSON
            return adapter.json_schema(mode="serialization", by_alias=True)
    except Exception:  # noqa: BLE001 - some types have no JSON schema, users' hooks may raise
        return None


def _struct_schema(type_: Any) -> dict[str, Any] | None:
    from streamapp.struct_codec import json_schema  # noqa: PLC0415 - it needs an extra

    try:
        return json_schema(value_type(type_))
    except Exception:  # noqa: BLE001 - the same
        return None


def _serialisers(schema: Any) -> Iterator[str]:
    """Kinds of the serialisers of whole models and dataclasses in a core schema."""
    if isinstance(schema, dict):
        if schema.get("type") in ("model", "dataclass", "typed-dict"):
            yield (schema.get("serialization") or {}).get("type", "")
        for name, inner in schema.items():
            if name not in ("metadata", "default", "cls", "serialization"):
                yield from _serialisers(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            yield from _serialisers(inner)


class _Sampler:
    """Makes a value of a JSON schema that has all its fields."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema that a reference names; any other as it is."""
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        return self._definitions[name] if name else schema

    def sample(self, schema: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
        """One value; `seen` has the references that it is within.

        Raises:
            RecursionError: every value would be within one of its own kind.
        """
        if (name := schema.get("$ref")) is not None:
            if name in seen:
                raise RecursionError(name)
            return self.sample(self.resolved(schema), (*seen, name))
        if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            return self._of_choices(choices, seen)
        kind = schema.get("type")
        if kind == "object":
            return self._of_object(schema, seen)
        if kind == "array":
            return self._of_array(schema, seen)
        return schema["enum"][0] if "enum" in schema else schema.get("const", _scalar(schema))

    def _of_choices(self, choices: list[Any], seen: tuple[str, ...]) -> Any:
        for choice in sorted(choices, key=lambda one: one.get("type") == "null"):
            try:
                return self.sample(choice, seen)
            except RecursionError as error:
                failure = error
        raise failure

    def _of_object(self, schema: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
        found = {name: self.sample(one, seen) for name, one in schema.get("properties", {}).items()}
        others = schema.get("additionalProperties")
        if isinstance(others, dict) and not found:
            try:
                found["x"] = self.sample(others, seen)
            except RecursionError:
                return {}
        return found

    def _of_array(self, schema: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
        found = [self.sample(one, seen) for one in schema.get("prefixItems", [])]
        items = schema.get("items")
        if isinstance(items, dict) and not found:
            try:
                found = [self.sample(items, seen)] * max(1, schema.get("minItems", 1))
            except RecursionError:
                return []
        return found


def _scalar(schema: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "string":
            return _TEXTS.get(schema.get("format", ""), "x" * schema.get("minLength", 1))
        case "integer" | "number":
            least = schema.get("exclusiveMinimum", schema.get("minimum", 0) - 1) + 1
            return min(least, schema.get("maximum", least))
        case "boolean":
            return True
        case _:
            return None
