"""Encode an output and check it against its topic: one function for every path of a record.

Hot path: what `encoder_for` returns is called once for each output.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from streamapp.errors import EncodeError
from streamapp.policies.describe import describe
from streamapp.record import Headers
from streamapp.runtime.output_topic import OutputTopic
from streamapp.serialisation import Codec

Encode: TypeAlias = Callable[[Any, bytes | None, Headers], bytes]
"""Value, key and headers of an output to the bytes of its value."""


def encoder_for(codec: Codec[Any], target: OutputTopic) -> Encode:
    """What encodes the outputs for one topic and refuses those that the topic would not take.

    The function raises `RecordError`: the value cannot be written, the topic needs a key and there
    is none, or the record is larger than the topic's limit.
    """
    encode = codec.encode

    def encode_and_check(value: Any, key: bytes | None, headers: Headers) -> bytes:
        try:
            encoded = encode(value)
        except Exception as error:
            raise EncodeError(f"an output cannot be written: {describe(error)}") from error
        # A record of half the limit is small enough with whatever Kafka adds to it.
        if headers or key is None or len(encoded) + len(key) > target.safe_bytes:
            target.check(key, encoded, headers)
        return encoded

    return encode_and_check
