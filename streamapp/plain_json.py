"""Encoders that let orjson write plain values, in a third of pydantic's time.

Hot path: the encoders are called for each output.
"""

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from types import NoneType
from typing import Any

import orjson
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from streamapp.declared_types import has_plain_members, plain_types

Encode = Callable[[Any], bytes]
Kinds = tuple[type, ...]
"""The types of the fields of a value, in their order."""

_TYPES = {"str": str, "int": int, "float": float, "bool": bool, "none": NoneType}
_WRAPPERS = frozenset({"nullable", "default", "function-after", "function-before"})
_CUSTOM_JSON = (
    "serialization",
    "serialization_alias",
    "serialization_exclude",
    "serialization_exclude_if",
    "computed_fields",
    "extras_schema",
    "root_model",
    "init_only",
)
_CONFIG_THAT_MATTERS = ("ser_json_", "serialize_by_alias", "polymorphic_serialization")
_JSON_TYPES = frozenset({str, int, float, bool, NoneType, list})
_MAX_KINDS = 256
"""Sets of types of the fields of a class that are remembered; more are written by pydantic."""

_JSON_ONLY = (
    orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
"""Leaves to pydantic what it writes in another form than orjson."""


@dataclass(frozen=True, slots=True)
class PlainFields:
    """Writes values of a class if the types of their fields are among those that were looked at.

    Attributes:
        kinds: these types.
        values_of: the values of the fields.
        dumps: writes a value; it may raise, if the value has text that UTF-8 does not have.
    """

    kinds: Container[Kinds]
    values_of: Callable[[Any], tuple[Any, ...]]
    dumps: Encode


@dataclass(frozen=True, slots=True)
class Encoder:
    """Writes values of a type.

    The hot path does itself what `encode` does in the usual case, which saves it a call.

    Attributes:
        encode: writes a value, or raises an error with the path of what cannot be written.
        kinds: if the types of the fields of a value of exactly the declared class are among these,
            orjson writes its fields as `encode` would. `None` if that is not certain.
        dumps: if not `None`, this writes any value as `encode` does, except that NaN is null; what
            it refuses, `encode` may write.
        plain: how a value of exactly the declared class, which has no `__dict__`, is written.
    """

    encode: Encode
    kinds: Container[Kinds] | None = None
    dumps: Encode | None = None
    plain: PlainFields | None = None


def encoder_for(type_: Any, adapter: TypeAdapter[Any], checked: Encode) -> Encoder:
    """The JSON encoder of a class: orjson if its result equals that of `checked`, else `checked`.

    They are equal if a model or a dataclass has only plain fields (text, numbers, booleans, null,
    members of enums, literals, and lists of these but members), and declares no other form of its
    JSON. Each combination of types of its fields is first written by both and compared. So what
    `checked` refuses, such as text in the place of a number, is refused.
    """
    found = _plain_fields(type_, adapter)
    if found is None:
        return Encoder(checked)
    kinds = set[Kinds]()
    enums = [class_ for schema in found.values() if (class_ := _enum_of(schema))]
    encode_first = _first_encoder(type_, kinds, enums, checked)
    floats = any(_has_floats(schema) for schema in found.values())
    parts = [(name, fits) for name, schema in found.items() if (fits := _part(schema))]
    dumps = orjson.dumps

    def encode(value: Any) -> bytes:
        if type(value) is type_ and tuple(map(type, value.__dict__.values())) in kinds:
            try:
                return dumps(value.__dict__)
            except Exception:  # noqa: BLE001 - pydantic can write it, or says what is wrong
                return checked(value)
        return encode_first(value)

    def encode_carefully(value: Any) -> bytes:
        try:
            is_plain = all(fits(value.__dict__[name]) for name, fits in parts)
        except Exception:  # noqa: BLE001 - the same
            is_plain = False
        if not is_plain:
            return checked(value)
        encoded = encode(value)
        return checked(value) if floats and b"null" in encoded else encoded  # it may be NaN

    return Encoder(encode_carefully) if floats or parts else Encoder(encode, kinds)


def _first_encoder(
    type_: Any, kinds: set[Kinds], enums: Collection[type], checked: Encode
) -> Encode:
    """Writes values whose fields have types that were not seen yet, and remembers these."""
    known = _JSON_TYPES.union(enums)

    def encode_first(value: Any) -> bytes:
        encoded = checked(value)
        own = getattr(value, "__dict__", {})
        found = tuple(map(type, own.values()))
        if type(value) is type_ and known.issuperset(found) and len(kinds) < _MAX_KINDS:
            try:
                is_same = orjson.dumps(own) == encoded
            except TypeError:  # an integer of more than 64 bits
                is_same = False
            if is_same:
                kinds.add(found)
        return encoded

    return encode_first


def json_encoder(checked: Encode) -> Encoder:
    """The encoder of JSON without a schema: orjson, or `checked` for what is not JSON itself."""
    dumps = partial(orjson.dumps, option=_JSON_ONLY)

    def encode(value: Any) -> bytes:
        try:
            encoded = dumps(value)
        except Exception:  # noqa: BLE001 - pydantic can write it, or says what is wrong
            return checked(value)
        return checked(value) if b"null" in encoded and has_nan(value) else encoded

    return Encoder(encode, dumps=dumps)


def has_nan(value: Any) -> bool:
    """Whether there may be a float that JSON does not have; text that looks like one counts."""
    encoded = to_json(value, inf_nan_mode="constants")
    return b"NaN" in encoded or b"Infinity" in encoded


def _plain_fields(type_: Any, adapter: TypeAdapter[Any]) -> dict[str, Mapping[str, Any]] | None:
    """Schemas of the fields of a plain model or dataclass; `None` if it is not plain."""
    is_model = isinstance(type_, type) and issubclass(type_, BaseModel)
    if not is_model and not (isinstance(type_, type) and is_dataclass(type_)):
        return None
    schema = _unwrapped(adapter.core_schema)
    if schema["type"] != ("model" if is_model else "dataclass") or _has_custom_json(schema):
        return None
    inner = _unwrapped(schema["schema"])
    if inner["type"] not in ("model-fields", "dataclass-args") or _has_custom_json(inner):
        return None
    declared = inner["fields"]
    if not is_model:
        declared = {field["name"]: field for field in declared}
        has_slots = type_.__dictoffset__ == 0
        if has_slots or list(declared) != [field.name for field in fields(type_)]:
            return None
    if any(_has_custom_json(one) or not _is_plain(one["schema"]) for one in declared.values()):
        return None
    return {name: one["schema"] for name, one in declared.items()}


def _unwrapped(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while schema["type"] in ("function-after", "function-before"):  # model validators
        if schema.get("serialization"):
            break
        schema = schema["schema"]
    return schema


def _is_plain(schema: Mapping[str, Any]) -> bool:
    if _has_custom_json(schema):
        return False
    kind = schema["type"]
    if kind == "list":
        return "items_schema" in schema and plain_types(schema["items_schema"]) is not None
    if kind == "literal":
        return all(type(value) in (str, int, bool) for value in schema["expected"])
    if kind == "enum":
        return has_plain_members(schema)
    return kind in _TYPES or (kind in _WRAPPERS and _is_plain(schema["schema"]))


def _enum_of(schema: Mapping[str, Any]) -> type | None:
    """The enum of which a field has a member."""
    if schema["type"] in _WRAPPERS:
        return _enum_of(schema["schema"])
    return schema["cls"] if schema["type"] == "enum" else None


def _has_floats(schema: Mapping[str, Any]) -> bool:
    inner = schema.get("schema") or schema.get("items_schema")
    return schema["type"] == "float" or (inner is not None and _has_floats(inner))


def _part(schema: Mapping[str, Any]) -> Callable[[Any], bool] | None:
    """What the type of a field's value does not tell: a literal's value, the types in a list."""
    if schema["type"] in _WRAPPERS:
        inner = _part(schema["schema"])
        if inner is None or schema["type"] != "nullable":
            return inner
        return lambda value: value is None or inner(value)
    if schema["type"] == "literal":
        return frozenset(schema["expected"]).__contains__
    if schema["type"] == "list":
        types = plain_types(schema["items_schema"]) or frozenset()
        return lambda value: types.issuperset(map(type, value))
    return None


def _has_custom_json(schema: Mapping[str, Any]) -> bool:
    """Whether the schema declares a JSON form other than its fields as they are."""
    config: Mapping[str, Any] = schema.get("config") or {}
    if config.get("extra_fields_behavior") == "allow":
        return True
    if any(config.get(n) for n in config if n.startswith(_CONFIG_THAT_MATTERS)):
        return True
    return any(schema.get(name) for name in _CUSTOM_JSON)
