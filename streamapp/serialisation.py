"""Bytes to typed values and back.

Hot path: `Codec.decode` and `Codec.encode` are called once for each record. So wherever possible
they are bound methods of pydantic's compiled core and of orjson.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Any, Generic, TypeVar, get_origin

import orjson
from pydantic import TypeAdapter
from typing_extensions import is_typeddict  # knows its own TypedDict, unlike that of typing

from streamapp.immutable import is_immutable
from streamapp.plain_json import dataclass_encoder_for, encoder_for

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How values of one type become bytes.

    Attributes:
        schema: the type that is encoded and decoded; `Any` or `dict` is JSON without a schema.
        instance_of: a value to encode must be an instance of this class. The caller checks this:
            pydantic would write a value of another class without an error.
        decode: bytes to a value; raises `ValueError` (pydantic's or orjson's) on wrong bytes.
        encode: a value to bytes; raises `ValueError` or `TypeError` on a wrong value.
        immutable: whether a value of exactly `instance_of` never changes, and is read back equal.
    """

    schema: Any
    instance_of: type[Any]
    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]
    immutable: bool = False


def codec_for(type_: Any) -> Codec[Any]:
    """Codec of a type: `bytes` are left as they are, everything else is JSON."""
    return bytes_codec() if type_ is bytes else json_codec(type_)


def json_codec(type_: Any) -> Codec[Any]:
    """JSON codec for a pydantic model, a dataclass, a TypedDict, a plain type, `dict` or `Any`.

    Models and other types that pydantic can validate are decoded from bytes straight into the type.
    `dict`, `list` and `Any` are not validated; orjson reads and writes them.
    """
    if type_ in (Any, object, dict, dict[str, Any], list):
        instance_of = (get_origin(type_) or type_) if type_ not in (Any, object) else object
        return Codec(type_, instance_of, orjson.loads, orjson.dumps)
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    decode = adapter.validator.validate_json
    if is_dataclass(type_):
        return Codec(type_, _as_class(type_), decode, dataclass_encoder_for(type_, adapter))
    if inspect.isclass(type_) and not is_typeddict(type_):
        immutable = is_immutable(type_, adapter)
        return Codec(type_, type_, decode, encoder_for(type_, adapter), immutable)
    # No class to check against: the serialiser itself has to mind.
    return Codec(type_, object, decode, partial(adapter.serializer.to_json, warnings="error"))


def bytes_codec() -> Codec[bytes]:
    """Leave bytes as they are."""
    return Codec(bytes, bytes, _same, _same, immutable=True)


def _same(value: bytes | None) -> bytes:
    if value is None:
        raise ValueError("there are no bytes")
    return value


def _as_class(type_: Any) -> type[Any]:
    return type_ if inspect.isclass(type_) else object
