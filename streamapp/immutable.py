"""Finds the types whose values can be shared: nothing changes them, and JSON gives them back equal.

The fused stages of a segment hand values of such types over as they are. All others are encoded and
decoded, so that no stage, attempt or output sees what another one does to its value.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, TypeAdapter

from streamapp.declared_types import has_plain_members

_SCALARS = frozenset({"str", "int", "bool", "none"})
_CHANGES_TEXT = ("strip_whitespace", "to_lower", "to_upper")
_OWN_WAYS = ("custom_init", "root_model", "post_init", "serialization")
_CONFIG_OF_NO_EFFECT = frozenset({"title", "frozen", "strict", "extra"})


def is_immutable(type_: Any, adapter: TypeAdapter[Any]) -> bool:
    """Whether this is a frozen model of text, integers, booleans, null, enums, and tuples of these.

    The values of an enum are to be text, or to be integers.

    Such a model was validated when it was made, so it can be written, and is read back equal. Of
    other types this is not certain: a float may be NaN, a standard dataclass is never validated, a
    value of a subclass has fields that are not written, and validators may change what they read.
    """
    if not (isinstance(type_, type) and issubclass(type_, BaseModel) and _is_frozen(type_)):
        return False
    schema: Mapping[str, Any] = adapter.core_schema
    if schema["type"] != "model" or any(schema.get(name) for name in _OWN_WAYS):
        return False
    inner = schema["schema"]
    if inner["type"] != "model-fields" or inner.get("computed_fields"):
        return False
    return all(
        field.keys() <= {"type", "schema", "metadata"} and _is_immutable_field(field["schema"])
        for field in inner["fields"].values()
    )


def _is_frozen(type_: type[BaseModel]) -> bool:
    """Whether neither its fields nor anything else on a value of the class can be changed."""
    config = type_.model_config
    return (
        bool(config.get("frozen"))
        and config.keys() <= _CONFIG_OF_NO_EFFECT
        and config.get("extra") != "allow"
        and not type_.__private_attributes__
        and not any(isinstance(one, cached_property) for one in _attributes(type_))
    )


def _is_immutable_field(schema: Mapping[str, Any]) -> bool:
    if schema.get("serialization") or any(schema.get(name) for name in _CHANGES_TEXT):
        return False
    match schema["type"]:
        case "nullable" | "default":
            return _is_immutable_field(schema["schema"])
        case "tuple":
            return all(map(_is_immutable_field, schema["items_schema"]))
        case "enum":
            return has_plain_members(schema)
        case "literal":
            return all(type(value) in (str, int, bool) for value in schema["expected"])
        case kind:
            return kind in _SCALARS


def _attributes(type_: type[Any]) -> Iterator[Any]:
    for class_ in type_.__mro__:
        yield from vars(class_).values()
