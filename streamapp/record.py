"""Record, headers and partition: the values that every layer speaks of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, bytes]]
"""Header names and values in the order of the record; a name may occur more than once."""


class TopicPartition(NamedTuple):
    """One partition of one topic; equal and hash-equal to the Kafka client's own tuple."""

    topic: str
    partition: int


class Record(Protocol):
    """What a consumer hands out: read-only for everybody.

    A protocol, so that what the Kafka client's compiled parser made is used as it comes: copying
    every record into a class of our own would cost as much as reading it from the socket. Where a
    record was read is known of the set that it was fetched in, once for all of them.
    """

    @property
    def offset(self) -> int:
        """Position in the partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch, as the producer or the broker set it; -1 without one."""

    @property
    def key(self) -> bytes | None:
        """Key bytes; `None` is a record without a key."""

    @property
    def value(self) -> bytes | None:
        """Value bytes; `None` is a tombstone."""

    @property
    def headers(self) -> Headers:
        """Headers in their order."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as a value of our own: what the memory broker stores and tests build."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
