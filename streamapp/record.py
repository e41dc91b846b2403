"""Record, headers and partition: values that all layers use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, bytes]]
"""Names and values of a record's headers, in their order; a name may occur more than once."""


EVENT_TIME_HEADER = "streamapp.event_time"
"""Header with the event time of a record whose timestamp is another: milliseconds, as text."""

CONTEXT_HEADER = "streamapp.context"
"""Header with the audit trail of a record: JSON of at most 4 KiB."""

ERROR_HEADERS = "streamapp.error."
"""Beginning of the names of the headers that say what a dead letter failed with."""

FIRST_ERROR_HEADER = f"{ERROR_HEADERS}pipeline"
"""The first of them: those of a record that comes back to its stage begin there."""

NO_OFFSET = -1
"""Offset of a record that was read from no partition: in process, and in tests of an agent."""

_MAX_TIMESTAMP = 2**63 - 1


class TopicPartition(NamedTuple):
    """One partition of one topic. It is equal to the Kafka client's tuple, with the same hash."""

    topic: str
    partition: int


def address(place: TopicPartition, offset: int) -> str:
    """Where a record stands, as people and headers name it: `topic:partition:offset`."""
    return f"{place.topic}:{place.partition}:{offset}"


class Record(Protocol):
    """A record as a consumer returns it. Nobody may change it.

    This is a protocol, so that the objects of the Kafka client's compiled parser can be used as
    they are: to copy each record into a class of our own would cost as much as to read it from the
    socket. A record does not have its topic and partition, since they are the same for all records
    that were fetched together.
    """

    @property
    def offset(self) -> int:
        """Position in the partition; `NO_OFFSET` for what was read from none."""

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


def event_time_in(headers: Headers) -> int | None:
    """The event time in these headers, in milliseconds since the epoch; `None` without one."""
    for name, content in headers:
        if name == EVENT_TIME_HEADER:
            try:
                milliseconds = int(content)
            except (TypeError, ValueError):  # not written by us
                return None
            return milliseconds if -1 <= milliseconds <= _MAX_TIMESTAMP else None
    return None


def event_timestamp(record: Record) -> int:
    """When the event of a record was, in milliseconds since the epoch; -1 if that is not known.

    It is the timestamp of the record, unless a header has it.
    """
    event = event_time_in(record.headers) if record.headers else None
    return record.timestamp if event is None else event


def without_error_headers(headers: Headers) -> Headers:
    """Headers less those of an earlier dead letter, which was sent again."""
    for name, _ in headers:
        if name.startswith(ERROR_HEADERS):
            return [header for header in headers if not header[0].startswith(ERROR_HEADERS)]
    return headers
