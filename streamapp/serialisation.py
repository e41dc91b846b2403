"""Bytes to typed values and back.

Hot path: `Codec.decode` and `Codec.encode` are called once for each record, so they are the
bound methods of the compiled pydantic core and of orjson wherever nothing has to be added.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Any, Generic, TypeVar, get_origin

import orjson
from pydantic import TypeAdapter
from typing_extensions import is_typeddict  # knows its own TypedDict, unlike that of typing

from streamapp.plain_json import dataclass_encoder_for, encoder_for

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How values of one type become bytes.

    Attributes:
        schema: the type that is encoded and decoded; `Any` or `dict` is JSON without a schema.
        instance_of: a value to encode must be an instance of this class, and the caller checks
            that: pydantic writes what fields it finds of a stranger without a word.
        decode: bytes to a value; raises `ValueError` (pydantic's or orjson's) on bad bytes.
        encode: a value to bytes; raises `ValueError` or `TypeError` on a value it cannot write.
    """

    schema: Any
    instance_of: type[Any]
    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]


def codec_for(type_: Any) -> Codec[Any]:
    """Codec of a type: `bytes` stays as it is, everything else is JSON."""
    return bytes_codec() if type_ is bytes else json_codec(type_)


def json_codec(type_: Any) -> Codec[Any]:
    """JSON codec for a pydantic model, a dataclass, a TypedDict, a plain type, `dict` or `Any`.

    Models and whatever else pydantic can validate are decoded straight from bytes into the type.
    `dict`, `list` and `Any` skip validation and go through orjson.
    """
    if type_ in (Any, object, dict, dict[str, Any], list):
        instance_of = (get_origin(type_) or type_) if type_ not in (Any, object) else object
        return Codec(type_, instance_of, orjson.loads, orjson.dumps)
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    decode = adapter.validator.validate_json
    if is_dataclass(type_):
        return Codec(type_, _as_class(type_), decode, dataclass_encoder_for(type_, adapter))
    if inspect.isclass(type_) and not is_typeddict(type_):
        return Codec(type_, type_, decode, encoder_for(type_, adapter))
    # No class to check against: the serialiser itself has to mind.
    return Codec(type_, object, decode, partial(adapter.serializer.to_json, warnings="error"))


def bytes_codec() -> Codec[bytes]:
    """Leave bytes as they are."""
    return Codec(bytes, bytes, _same, _same)


def _same(value: bytes | None) -> bytes:
    if value is None:
        raise ValueError("there are no bytes")
    return value


def _as_class(type_: Any) -> type[Any]:
    return type_ if inspect.isclass(type_) else object
