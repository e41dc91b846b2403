"""A record that Faust has read."""

from collections.abc import Mapping
from typing import Any

from streamapp.record import Headers


class FaustRecord:
    """`streamapp.record.Record` of a message of Faust.

    Attributes:
        message: the message, with which Faust decodes it, and by which its tables know the
            partition of their changelog.
    """

    __slots__ = ("headers", "key", "message", "offset", "timestamp", "value")

    def __init__(self, message: Any) -> None:
        headers = message.headers or ()
        self.message = message
        self.offset = int(message.offset)
        self.timestamp = -1 if message.timestamp is None else round(message.timestamp * 1000)
        self.key: bytes | None = message.key
        self.value: bytes | None = message.value
        self.headers: Headers = list(headers.items() if isinstance(headers, Mapping) else headers)
