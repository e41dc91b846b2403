"""Encodes an output and checks it against the limits of its topic.

The burst and the attempts use the same function, so both refuse the same outputs.

Hot path: the function that `encoder_for` returns is called once for each output, and so is the one
that `writer_of` returns.
"""

from collections.abc import Callable, Container
from typing import Any, NamedTuple, TypeAlias

import orjson

from streamapp.brokers.topic_batches import OpenBatches
from streamapp.native_leaves import SELECTED, native
from streamapp.pipeline.agent_call import unwritable
from streamapp.plain_json import PlainFields, has_nan
from streamapp.record import Headers, Record, without_error_headers
from streamapp.runtime.output_topic import OutputTopic
from streamapp.serialisation import Codec

Encode: TypeAlias = Callable[[Any, bytes | None, Headers], bytes]
"""Takes value, key and headers of an output, and returns the bytes of the value."""

Append: TypeAlias = Callable[[bytes | None, bytes | None, Headers, int], int]
"""Takes key, value, headers and timestamp of an output, and returns its partition."""


class Outlet:
    """Where outputs of one type go.

    Attributes:
        topic: the topic.
        encode: encodes an output and checks it against the limits of the topic.
    """

    __slots__ = ("_encoding", "encode", "topic")

    def __init__(self, codec: Codec[Any], topic: OutputTopic) -> None:
        self.topic = topic
        self.encode = encoder_for(codec, topic)
        self._encoding = _native_encoding(codec) if SELECTED.is_native else None

    def writer(self, batches: OpenBatches) -> "Writer":
        """What writes to these batches, while the limits of the topic stay as they are."""
        if self._encoding is not None and isinstance(batches, native.TopicBatches):
            made = native.Writer(batches, self._encoding, self.topic, without_error_headers)
            return Writer(made.write, made.write_keyed)
        return writer_of(self.encode, batches.append)


class Writer(NamedTuple):
    """Writes outputs to the open batches of a topic, each with headers and timestamp of its record.

    Attributes:
        write: takes a value and its record, whose key it gets.
        write_keyed: takes a value, its record, and a key of its own.
    """

    write: Callable[[Any, Record], object]
    write_keyed: Callable[[Any, Record, bytes | None], object]


def writer_of(encode: Encode, append: Append) -> Writer:
    """What encodes outputs and appends them to batches; it raises what `encode` raises."""

    def write(value: Any, record: Record) -> None:
        key, headers = record.key, record.headers
        if headers:
            headers = without_error_headers(headers)
        append(key, encode(value, key, headers), headers, record.timestamp)

    def write_keyed(value: Any, record: Record, key: bytes | None) -> None:
        headers = without_error_headers(record.headers)
        append(key, encode(value, key, headers), headers, record.timestamp)

    return Writer(write, write_keyed)


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
    if encoder is not None and encoder.plain is not None:
        encode = _plain_or_refuse(codec.instance_of, encoder.plain, encode)

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


def _native_encoding(codec: Codec[Any]) -> "native.Encoding":
    """What writes values as `encoder_for` does; it is left to the latter if they are not plain."""
    encoder, encode = codec.encoder, _encode_or_refuse(codec)
    if encoder is not None and encoder.dumps is not None:
        return native.Encoding.of_json(encode)
    if encoder is not None and encoder.kinds is not None:
        return native.Encoding.of_fields(codec.instance_of, encoder.kinds, orjson.dumps, encode)
    if encoder is not None and encoder.plain is not None:
        plain = encoder.plain
        return native.Encoding.of_values(
            codec.instance_of, plain.kinds, plain.values_of, plain.dumps, encode
        )
    return native.Encoding(encode)


def _plain_or_refuse(
    class_: type[Any], plain: PlainFields, encode: Callable[[Any], bytes]
) -> Callable[[Any], bytes]:
    """The same with one call for a plain value."""
    kinds, values_of, dumps = plain.kinds, plain.values_of, plain.dumps

    def dump(value: Any) -> bytes:
        try:
            if type(value) is class_ and tuple(map(type, values_of(value))) in kinds:
                return dumps(value)
        except Exception:  # noqa: BLE001, S110 - it is refused with its path
            pass
        return encode(value)

    return dump


def _encode_or_refuse(codec: Codec[Any]) -> Callable[[Any], bytes]:
    encode = codec.encode

    def encode_or_refuse(value: Any) -> bytes:
        try:
            return encode(value)
        except Exception as error:
            raise unwritable(error) from error

    return encode_or_refuse
