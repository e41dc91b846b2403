"""Encodes an output and checks it against the limits of its topic.

The burst and the attempts use the same function, so both refuse the same outputs.

Hot path: the function that `encoder_for` returns is called once for each output.
"""

from collections.abc import Callable, Container
from typing import Any, TypeAlias

import orjson

from streamapp.pipeline.agent_call import unwritable
from streamapp.plain_json import has_nan
from streamapp.record import Headers
from streamapp.runtime.output_topic import OutputTopic
from streamapp.serialisation import Codec

Encode: TypeAlias = Callable[[Any, bytes | None, Headers], bytes]
"""Takes value, key and headers of an output, and returns the bytes of the value."""


def encoder_for(codec: Codec[Any], target: OutputTopic) -> Encode:
    """Make a function that encodes outputs for a topic, and refuses what the topic would refuse.

    The function raises `RecordError` if the value cannot be encoded, if the topic needs a key and
    there is none, or if the record is larger than the limit of the topic.
    """
    encode = _encode_or_refuse(codec)
    encoder = codec.encoder
    if encoder is not None and encoder.dumps is not None:
        return _json_encoder(encode, encoder.dumps, target)
    if encoder is not None and encoder.kinds is not None:
        return _fields_encoder(encode, codec.instance_of, encoder.kinds, target)

    def encode_and_check(value: Any, key: bytes | None, headers: Headers) -> bytes:
        encoded = encode(value)
        # Below half of the limit no exact check is needed, whatever Kafka adds to the record.
        if headers or key is None or len(encoded) + len(key) > target.safe_bytes:
            target.check(key, encoded, headers)
        return encoded

    return encode_and_check


def _json_encoder(
    encode: Callable[[Any], bytes], dumps: Callable[[Any], bytes], target: OutputTopic
) -> Encode:
    """The same where there is no schema."""

    def encode_and_check(value: Any, key: bytes | None, headers: Headers) -> bytes:
        try:
            encoded = dumps(value)
        except Exception:  # noqa: BLE001 - it may still be written in another way
            encoded = encode(value)
        if b"null" in encoded and has_nan(value):
            encoded = encode(value)
        if headers or key is None or len(encoded) + len(key) > target.safe_bytes:
            target.check(key, encoded, headers)
        return encoded

    return encode_and_check


def _fields_encoder(
    encode: Callable[[Any], bytes],
    class_: type[Any],
    kinds: Container[tuple[type, ...]],
    target: OutputTopic,
) -> Encode:
    """The same for a class that orjson writes."""
    dumps = orjson.dumps

    def encode_and_check(value: Any, key: bytes | None, headers: Headers) -> bytes:
        try:
            if type(value) is class_ and tuple(map(type, value.__dict__.values())) in kinds:
                encoded = dumps(value.__dict__)
            else:
                encoded = encode(value)
        except Exception:  # noqa: BLE001 - it may still be written in another way
            encoded = encode(value)
        if headers or key is None or len(encoded) + len(key) > target.safe_bytes:
            target.check(key, encoded, headers)
        return encoded

    return encode_and_check


def _encode_or_refuse(codec: Codec[Any]) -> Callable[[Any], bytes]:
    encode = codec.encode

    def encode_or_refuse(value: Any) -> bytes:
        try:
            return encode(value)
        except Exception as error:
            raise unwritable(error) from error

    return encode_or_refuse
