"""Models whose JSON is that of their fields: written by orjson, at a third of the time.

Hot path: what `encoder_for` returns is called for each output.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_origin

import orjson
from pydantic import BaseModel, TypeAdapter
from pydantic.dataclasses import is_pydantic_dataclass

_PLAIN = frozenset({"str", "int", "float", "bool", "none", "literal"})
_CONTAINERS = frozenset({"nullable", "default", "list", "function-after", "function-before"})
_WRITTEN_OTHERWISE = (
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
    """What writes values of a class as JSON: pydantic, or orjson where the two must agree.

    They do where a model has plain fields only (text, numbers, booleans, null, and lists of these)
    and nothing declares another form of its JSON. A value that is not exactly of the class, or
    holds more than its fields, goes through pydantic all the same, as do integers of more than 64
    bits, which orjson refuses.
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
    """What writes values of a dataclass as JSON: orjson, or pydantic where it would write less.

    orjson leaves out fields that begin with an underscore, knows nothing of what a pydantic
    dataclass declares about its JSON, and refuses what is not JSON by itself, such as decimals.
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
    if schema["type"] != "model" or _is_written_otherwise(schema):
        return False
    inner = schema["schema"]
    while inner["type"] in ("function-after", "function-before"):
        inner = inner["schema"]
    if inner["type"] != "model-fields" or _is_written_otherwise(inner):
        return False
    return all(
        not _is_written_otherwise(field) and _is_plain(field["schema"])
        for field in inner["fields"].values()
    )


def _is_plain(schema: Mapping[str, Any]) -> bool:
    if _is_written_otherwise(schema):
        return False
    kind = schema["type"]
    if kind == "list":
        return "items_schema" in schema and _is_plain(schema["items_schema"])
    if kind == "literal":
        return all(type(value) in (str, int, bool) for value in schema["expected"])
    return kind in _PLAIN or (kind in _CONTAINERS and _is_plain(schema["schema"]))


def _is_written_otherwise(schema: Mapping[str, Any]) -> bool:
    """Whether anything here declares a JSON other than that of the fields as they are."""
    config: Mapping[str, Any] = schema.get("config") or {}
    if config.get("extra_fields_behavior") == "allow":
        return True
    if any(config.get(n) for n in config if n.startswith(_CONFIG_THAT_MATTERS)):
        return True
    return any(schema.get(name) for name in _WRITTEN_OTHERWISE)
