"""Encoders that let orjson write plain models, in a third of pydantic's time.

Hot path: the encoders are called for each output.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_origin

import orjson
from pydantic import BaseModel, TypeAdapter
from pydantic.dataclasses import is_pydantic_dataclass

_PLAIN = frozenset({"str", "int", "float", "bool", "none", "literal"})
_CONTAINERS = frozenset({"nullable", "default", "list", "function-after", "function-before"})
_CUSTOM_JSON = (
    "serialization",
    "serialization_alias",
    "serialization_exclude",
    "serialization_exclude_if",
    "computed_fields",
    "extras_schema",
    "root_model",
)
_CONFIG_THAT_MATTERS = ("ser_json_", "serialize_by_alias", "polymorphic_serialization")


def encoder_for(type_: type[Any], adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    """The JSON encoder of a class: orjson if its result equals pydantic's, else pydantic.

    The results are equal if a model has only plain fields (text, numbers, booleans, null, and lists
    of these) and declares no other form of its JSON. Even then, pydantic writes a value of a
    subclass, a value with extra fields, and integers of more than 64 bits, which orjson refuses.
    """
    to_json: Callable[[Any], bytes] = adapter.serializer.to_json
    if not (issubclass(type_, BaseModel) and _is_plain_model(type_.__pydantic_core_schema__)):
        return to_json
    count = len(type_.model_fields)
    dumps = orjson.dumps

    def encode(value: Any) -> bytes:
        try:
            own = value.__dict__
            if type(value) is type_ and len(own) == count:
                return dumps(own)
        except Exception:  # noqa: BLE001, S110 - pydantic can write it, or says what is wrong
            pass
        return to_json(value)

    return encode


def dataclass_encoder_for(type_: Any, adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    """The JSON encoder of a dataclass: orjson, or pydantic if orjson's result would differ.

    orjson leaves out fields that begin with an underscore and ignores what a pydantic dataclass
    declares about its JSON. Values that orjson refuses, such as decimals, are written by pydantic.
    """
    to_json: Callable[[Any], bytes] = adapter.serializer.to_json
    own = get_origin(type_) or type_
    if is_pydantic_dataclass(own) or any(field.name.startswith("_") for field in fields(own)):
        return to_json
    dumps = orjson.dumps

    def encode(value: Any) -> bytes:
        try:
            return dumps(value)
        except TypeError:
            return to_json(value)

    return encode


def _is_plain_model(schema: Mapping[str, Any]) -> bool:
    while schema["type"] in ("function-after", "function-before"):  # model validators
        schema = schema["schema"]
    if schema["type"] != "model" or _has_custom_json(schema):
        return False
    inner = schema["schema"]
    while inner["type"] in ("function-after", "function-before"):
        inner = inner["schema"]
    if inner["type"] != "model-fields" or _has_custom_json(inner):
        return False
    return all(
        not _has_custom_json(field) and _is_plain(field["schema"])
        for field in inner["fields"].values()
    )


def _is_plain(schema: Mapping[str, Any]) -> bool:
    if _has_custom_json(schema):
        return False
    kind = schema["type"]
    if kind == "list":
        return "items_schema" in schema and _is_plain(schema["items_schema"])
    if kind == "literal":
        return all(type(value) in (str, int, bool) for value in schema["expected"])
    return kind in _PLAIN or (kind in _CONTAINERS and _is_plain(schema["schema"]))


def _has_custom_json(schema: Mapping[str, Any]) -> bool:
    """Whether the schema declares a JSON form other than its fields as they are."""
    config: Mapping[str, Any] = schema.get("config") or {}
    if config.get("extra_fields_behavior") == "allow":
        return True
    if any(config.get(n) for n in config if n.startswith(_CONFIG_THAT_MATTERS)):
        return True
    return any(schema.get(name) for name in _CUSTOM_JSON)
