"""Bytes to typed values and back.

Hot path: `Codec.decode` and `Codec.encode` are called once for each record. So wherever possible
they are bound methods of pydantic's compiled core and of orjson.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Generic, TypeVar, get_origin

import orjson
from pydantic import TypeAdapter
from typing_extensions import is_typeddict  # knows its own TypedDict, unlike that of typing

from streamapp.checked_json import checked_encoder
from streamapp.exact_numbers import QuickDecoder, decoder_for
from streamapp.immutable import is_immutable
from streamapp.native_leaves import SELECTED, native
from streamapp.plain_json import Encoder, encoder_for, json_encoder
from streamapp.structs import has_structs
from streamapp.tombstones import value_type

T = TypeVar("T")

UNTYPED = (Any, object, dict, dict[str, Any], list)
"""Types of JSON of which only the outermost kind is known."""

_DIGITS_BEYOND_64_BITS = 19
"""The fewest of such an integer, which orjson reads as a float."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How values of one type become bytes.

    Attributes:
        schema: the type that is encoded and decoded; `Any` or `dict` is JSON without a schema.
        instance_of: a value to encode must be an instance of this class. The caller checks this:
            pydantic would write a value of another class without an error.
        decode: bytes to a value; raises `ValueError` (pydantic's or orjson's) on wrong bytes. With
            `tombstones`, `None` to `None`.
        encode: a value to bytes; raises `ValueError` or `TypeError` on a wrong value.
        immutable: whether a value of exactly `instance_of` never changes, and is read back equal.
        quick: the two steps of `decode`, for the hot path; `None` if it has one only.
        encoder: how `encode` works, for the hot path.
        tombstones: whether `None` is a record without a value, which is not encoded.
    """

    schema: Any
    instance_of: type[Any]
    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]
    immutable: bool = False
    quick: QuickDecoder | None = None
    encoder: Encoder | None = None
    tombstones: bool = False


def codec_for(type_: Any) -> Codec[Any]:
    """Codec of a type: `bytes` are left as they are, everything else is JSON.

    That of `X | None` is that of `X`, and `None` is a record without a value: a tombstone. So JSON
    `null` does not become a tombstone when its value is passed on; it is refused.
    """
    values = value_type(type_)
    codec = bytes_codec() if values is bytes else json_codec(values)
    return codec if values is type_ else _with_tombstones(codec, type_)


def _with_tombstones(codec: Codec[Any], type_: Any) -> Codec[Any]:
    decode_value = codec.decode

    def decode(data: bytes | None) -> Any:
        if data is None:
            return None
        value = decode_value(data)
        if value is None:  # where any JSON is a value
            raise ValueError("null is no value here: None stands for a record without a value")
        return value

    return replace(codec, schema=type_, decode=decode, quick=None, tombstones=True)


def json_codec(type_: Any) -> Codec[Any]:
    """JSON codec for a pydantic model, a struct of msgspec's, a dataclass, a TypedDict, and so on.

    Values are decoded from bytes straight into the type. What was decoded is encoded as it was, or
    refused: fields by their aliases, integers of any size, also where the type says `float`, and
    decimals with all digits; only a fraction becomes the float next to it. A value that
    is not of the declared type is refused with its path, and so is a float that JSON does not have.
    Of `dict`, `list` and `Any` only the outermost type is checked.
    """
    if type_ in UNTYPED:
        return _untyped_codec(type_)
    if has_structs(type_):
        return _struct_codec(type_)
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    decoder = decoder_for(adapter)
    is_class = inspect.isclass(type_) and not is_typeddict(type_) and get_origin(type_) is None
    encoder = encoder_for(type_, adapter, checked_encoder(adapter))
    # Without a class to check against, the encoder alone has to mind.
    instance_of = type_ if is_class else object
    immutable = is_immutable(type_, adapter)
    return Codec(
        type_, instance_of, decoder.decode, encoder.encode, immutable, decoder.quick, encoder
    )


def _struct_codec(type_: Any) -> Codec[Any]:
    """A struct is checked by nobody when it is made, so none is known to be as it is read."""
    from streamapp.struct_codec import struct_decoder, struct_encoder  # noqa: PLC0415 - an extra

    decoder = struct_decoder(type_)
    instance_of = type_ if isinstance(type_, type) and get_origin(type_) is None else object
    encoder = struct_encoder(type_)
    return Codec(
        type_, instance_of, decoder.decode, encoder.encode, quick=decoder.quick, encoder=encoder
    )


@cache  # of five types, which the stages of thousands of pipelines may have
def _untyped_codec(type_: Any) -> Codec[Any]:
    is_any = type_ in (Any, object)
    adapter: TypeAdapter[Any] = TypeAdapter(Any if is_any else type_)
    encoder = json_encoder(checked_encoder(adapter))
    instance_of = object if is_any else get_origin(type_) or type_
    read: Callable[[bytes], Any] = adapter.validator.validate_json
    if SELECTED.is_native:
        # orjson reads in half the time. What it may read otherwise is left to pydantic.
        outermost = None if is_any else instance_of
        reader = native.JsonReader(
            orjson.loads, read, digits=_DIGITS_BEYOND_64_BITS, outermost=outermost
        )
        read = reader.read
    return Codec(type_, instance_of, read, encoder.encode, encoder=encoder)


def bytes_codec() -> Codec[bytes]:
    """Leave bytes as they are."""
    return Codec(bytes, bytes, _same, _same, immutable=True)


def _same(value: bytes | None) -> bytes:
    if value is None:
        raise ValueError("there are no bytes")
    return value
