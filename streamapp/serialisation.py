"""Bytes to typed values and back.

Hot path: `Codec.decode` and `Codec.encode` are called once for each record, so they are the
bound methods of the compiled pydantic core and of orjson wherever nothing has to be added.
"""

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import Any, Generic, TypeVar

import orjson
from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How values of one type become bytes.

    Attributes:
        type: the type that is encoded and decoded; `Any` or `dict` is JSON without a schema.
        decode: bytes to a value; raises `ValueError` (pydantic's or orjson's) on bad bytes.
        encode: a value to bytes; raises `ValueError` or `TypeError` on a value it cannot write.
    """

    type: Any
    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]


def json_codec(type_: Any) -> Codec[Any]:
    """JSON codec for a pydantic model, a dataclass, a TypedDict, a plain type, `dict` or `Any`.

    Models and whatever else pydantic can validate are decoded straight from bytes into the type.
    `dict`, `list` and `Any` skip validation and go through orjson.
    """
    if type_ in (Any, dict, list, object):
        return Codec(type_, orjson.loads, orjson.dumps)
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    encode = orjson.dumps if is_dataclass(type_) else adapter.serializer.to_json
    return Codec(type_, adapter.validator.validate_json, encode)


def bytes_codec() -> Codec[bytes]:
    """Leave bytes as they are."""
    return Codec(bytes, _same, _same)


def _same(value: bytes) -> bytes:
    return value
