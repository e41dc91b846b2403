"""Record, headers and partition: values that all layers use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, bytes]]
"""Names and values of a record's headers, in their order; a name may occur more than once."""


class TopicPartition(NamedTuple):
    """One partition of one topic. It is equal to the Kafka client's tuple, with the same hash."""

    topic: str
    partition: int


class Record(Protocol):
    """A record as a consumer returns it. Nobody may change it.

    This is a protocol, so that the objects of the Kafka client's compiled parser can be used as
    they are: to copy each record into a class of our own would cost as much as to read it from the
    socket. A record does not have its topic and partition, since they are the same for all records
    that were fetched together.
    """

    @property
    def offset(self) -> int:
        """Position in the partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch, set by the producer or the broker; -1 if there is none."""

    @property
    def key(self) -> bytes | None:
        """Key bytes; `None` if the record has no key."""

    @property
    def value(self) -> bytes | None:
        """Value bytes; `None` for a tombstone."""

    @property
    def headers(self) -> Headers:
        """Names and values of the headers, in their order."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record in a class of our own: the memory broker stores these, and tests make them."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
