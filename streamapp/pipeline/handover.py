"""Hands an output of one fused stage to the next, as a topic between the two would.

Hot path: `pack` and `unpack` are called once for each output that a fused stage takes.
"""

from collections.abc import Callable
from typing import Any

from streamapp.errors import DecodeError
from streamapp.pipeline.agent_call import EncodedValue, unwritable
from streamapp.policies.describe import describe
from streamapp.serialisation import Codec


class Handover:
    """How a fused step gets the outputs of the step before it.

    An output is packed once and unpacked for each attempt. It is packed as bytes, so that what one
    step, attempt or output does to its value is not seen by another. A value of a type that never
    changes is packed as it is.

    Attributes:
        by_reference: whether a value of exactly the class that is given is packed as it is.
        encode: makes bytes of what is given.
        unpack: makes the value of one attempt; raises what the codec of the taking step raises.
    """

    __slots__ = ("_class", "_decode", "by_reference", "encode", "unpack")

    def __init__(self, given: Codec[Any], taken: Codec[Any]) -> None:
        self.by_reference = given.immutable and given.schema is taken.schema
        self.unpack: Callable[[Any], Any]
        self.unpack = self._unpack if self.by_reference else taken.decode
        self._class = given.instance_of
        self.encode = given.encode
        self._decode: Callable[[Any], Any] = taken.decode

    def pack(self, value: Any) -> Any:
        """Make what is kept of an output until the next step takes it.

        Raises:
            EncodeError: the value could not be written to a topic.
        """
        if type(value) is EncodedValue:
            return value if self.by_reference else value.data
        if self.by_reference and type(value) is self._class:
            return value
        try:
            encoded = self.encode(value)
        except Exception as error:
            raise unwritable(error) from error
        return EncodedValue(encoded) if self.by_reference else encoded

    def packed_bytes(self, packed: Any) -> bytes | None:
        """What a topic between the two steps would hold."""
        if type(packed) is EncodedValue:
            return packed.data
        return self.encode(packed) if self.by_reference else packed

    def _unpack(self, packed: Any) -> Any:
        # Without bytes it is a tombstone, which the codec knows or refuses.
        return self._decode(packed.data) if type(packed) is EncodedValue else packed


def undecodable(value: bytes | None, error: Exception) -> Exception:
    """What it means that a record's value was refused with this error."""
    if value is None:
        failure = DecodeError("the record has no value (a tombstone), but the stage takes one")
    elif isinstance(error, ValueError):
        failure = DecodeError(f"the value does not decode: {describe(error)}")
    else:
        return error  # of a validator of the user's own
    failure.__cause__ = error
    return failure
