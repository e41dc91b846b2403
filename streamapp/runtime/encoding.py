"""Encodes an output and checks it against the limits of its topic.

The burst and the attempts use the same function, so both refuse the same outputs.

Hot path: the function that `encoder_for` returns is called once for each output.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from streamapp.pipeline.agent_call import unwritable
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
    encode = codec.encode

    def encode_and_check(value: Any, key: bytes | None, headers: Headers) -> bytes:
        try:
            encoded = encode(value)
        except Exception as error:
            raise unwritable(error) from error
        # Below half of the limit no exact check is needed, whatever Kafka adds to the record.
        if headers or key is None or len(encoded) + len(key) > target.safe_bytes:
            target.check(key, encoded, headers)
        return encoded

    return encode_and_check
