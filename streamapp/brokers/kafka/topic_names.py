"""The names of all topics: a Metadata request whose response is read for the names only.

A cluster has no request for names alone. aiokafka makes objects of every partition, which blocks
the event loop for a second and more where there are tens of thousands.
"""

import struct
from io import BytesIO
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct
from aiokafka.protocol.types import Array, Boolean, Schema, String

_API_KEY = 3
_API_VERSION = 4  # the first that does not make topics
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_PARTITION_HEAD = 10  # an error code of 2 bytes, the number and the leader of 4 bytes each


class TopicNamesResponse:
    """The response.

    Attributes:
        names: names of all topics that have partitions, except internal ones.
    """

    API_KEY = _API_KEY
    API_VERSION = _API_VERSION

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    @classmethod
    def decode(cls, data: BytesIO | bytes) -> "TopicNamesResponse":
        """Read it.

        Raises:
            struct.error: the bytes end too early.
        """
        view = data if isinstance(data, bytes) else data.read()
        at = _after_brokers(view)
        names: set[str] = set()
        count, at = _INT32.unpack_from(view, at)[0], at + 4
        for _ in range(count):
            start = at + 4  # behind the error code, and the length of the name
            end = start + _INT16.unpack_from(view, at + 2)[0]
            is_internal = view[end]
            partitions, at = _INT32.unpack_from(view, end + 1)[0], end + 5
            for _ in range(partitions):
                at += _PARTITION_HEAD
                at += 4 + 4 * _INT32.unpack_from(view, at)[0]  # replicas
                at += 4 + 4 * _INT32.unpack_from(view, at)[0]  # those in sync
            if partitions and not is_internal:
                names.add(str(view[start:end], "utf-8"))
        return cls(frozenset(names))


def _after_brokers(view: bytes) -> int:
    """Where the topics begin."""
    count, at = _INT32.unpack_from(view, 4)[0], 8
    for _ in range(count):
        at = _after_string(view, at + 4) + 4  # id, host, port
        at = _after_string(view, at)  # rack
    return _after_string(view, at) + 4  # id of the cluster, id of the controller


def _after_string(view: bytes, at: int) -> int:
    length: int = _INT16.unpack_from(view, at)[0]  # -1 for none
    return at + 2 + max(0, length)


class TopicNamesStruct(RequestStruct):  # type: ignore[misc]  # untyped base
    """The request, as it is encoded."""

    API_KEY = _API_KEY
    API_VERSION = _API_VERSION
    RESPONSE_TYPE = TopicNamesResponse
    SCHEMA = Schema(("topics", Array(String("utf-8"))), ("allow_auto_topic_creation", Boolean))


class TopicNamesRequest(Request[TopicNamesStruct]):  # type: ignore[misc]  # untyped base
    """Asks for all topics."""

    API_KEY = _API_KEY

    def build(self, request_struct_class: Any) -> Any:
        """The request in the version that the broker speaks."""
        return request_struct_class(None, False)  # noqa: FBT003 - makes no topics
