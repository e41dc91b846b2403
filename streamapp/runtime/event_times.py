"""Timestamps of output records: the event time, or the present while a header has the event time.

Kafka deletes records by their timestamps, read or not, and refuses some timestamps. A record that
is to be read later must not be deleted before, however old its event is. So if its event is too
old, or too far ahead, its timestamp is the present, and a header has its event time. All that ask
for the time of a record look for this header first (`streamapp.record.event_timestamp`).

Hot path: records of a chunk come here only if one of them has such a header, or is too old or too
new.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from streamapp.brokers.protocols import FetchedRecords, TopicDescription
from streamapp.record import EVENT_TIME_HEADER, Headers, event_time_in, event_timestamp

KEPT_SHARE = 8
"""The event time is the timestamp if the event is not older than an eighth of the retention.

So at least seven eighths are left in which it can be read. The same share is kept from the limits
within which the broker accepts timestamps, because its clock is another one.
"""

HEADER_BYTES = 10 + len(EVENT_TIME_HEADER) + len(str(-(2**63)))
"""What the header adds to a record at most."""

_FOREVER_MS = 2**63 - 1
_headers_of = attrgetter("headers")


class EventTimes:
    """Chooses the timestamps of the records of one topic.

    Args:
        topic: its limits.
        now: the time in seconds since the epoch; `None` for a topic whose records always have their
            event times, since its retention is the user's own affair: a sink, a route.
    """

    __slots__ = ("_most_ahead_ms", "_most_behind_ms", "_now")

    def __init__(self, topic: TopicDescription, now: Callable[[], float] | None) -> None:
        self._now = now
        self.describe(topic)

    def describe(self, topic: TopicDescription) -> None:
        """Read the limits of the topic, which may have changed."""
        behind, ahead = _or_forever(topic.max_age_ms), _or_forever(topic.max_ahead_ms)
        kept = _or_forever(topic.retention_ms) // KEPT_SHARE
        self._most_behind_ms = min(behind - behind // KEPT_SHARE, kept)
        self._most_ahead_ms = ahead - ahead // KEPT_SHARE
        if topic.config.get("message.timestamp.type") == "LogAppendTime":
            self._most_behind_ms = self._most_ahead_ms = -1  # the broker replaces all timestamps

    @property
    def may_differ(self) -> bool:
        """Whether a timestamp may differ from the event time."""
        return self._now is not None

    @property
    def extra_bytes(self) -> int:
        """What a record may grow by."""
        return 0 if self._now is None else HEADER_BYTES

    def suits(self, earliest_ms: int, latest_ms: int) -> bool:
        """Whether records whose timestamps are between these can keep them."""
        if self._now is None:
            return True
        now = int(self._now() * 1000)
        return now - self._most_behind_ms <= earliest_ms and latest_ms <= now + self._most_ahead_ms

    def date(self, headers: Headers, timestamp: int) -> tuple[Headers, int]:
        """Headers and timestamp of an output.

        Args:
            headers: its headers; that of the event time counts more than the timestamp.
            timestamp: milliseconds since the epoch; of the event, or of a record that has a header.
        """
        event = event_time_in(headers)
        if event is not None:
            timestamp = event
            headers = [header for header in headers if header[0] != EVENT_TIME_HEADER]
        if self._now is None or self.suits(timestamp, timestamp):
            return headers, timestamp
        now = int(self._now() * 1000)
        return [*headers, (EVENT_TIME_HEADER, str(timestamp).encode())], now


def need_dating(
    records: FetchedRecords, topics: Iterable[EventTimes], *, have_headers: bool
) -> bool:
    """Whether the event time of a record is in a header, or will be in one of its output.

    Args:
        records: what was fetched.
        topics: where their outputs may go.
        have_headers: whether the records may have their event times in headers.
    """
    if have_headers and any(
        name == EVENT_TIME_HEADER for headers in map(_headers_of, records) for name, _ in headers
    ):
        return True
    topics = [topic for topic in topics if topic.may_differ]
    if not topics or not len(records):
        return False
    timestamps = records.timestamps(0, len(records))
    earliest, latest = min(timestamps), max(timestamps)
    return not all(topic.suits(earliest, latest) for topic in topics)


def event_timestamps(records: FetchedRecords, first: int, until: int) -> Sequence[int]:
    """Event times of records `first` to `until - 1`, some of which may be in headers."""
    return [event_timestamp(records[i]) for i in range(first, until)]


def _or_forever(milliseconds: int | None) -> int:
    return _FOREVER_MS if milliseconds is None else milliseconds
