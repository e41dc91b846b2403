"""A topic that a segment writes to: its partitions and its limits."""

import time
from collections.abc import Callable, Sequence

from streamapp.brokers.compression import Compression, compress_to_fit, encoded_records
from streamapp.brokers.partitioner import Partitioner
from streamapp.brokers.protocols import TopicDescription
from streamapp.errors import EncodeError, RecordRefusedError, RecordTooLargeError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import Headers
from streamapp.runtime.event_times import EventTimes

_BATCH_OVERHEAD_BYTES = 61 + 36
"""The header of a batch in Kafka's v2 format takes 61 bytes. The fields of a record other than its
key, value and headers take 36 at most."""

NO_TIMESTAMP = -1
"""Stands for a record without one, which no limit concerns."""

_FOR_LETTERS = (Compression.GZIP, Compression.ZSTD)
"""Every client reads gzip. What came compressed with zstd may fit with that only."""

_HEADER_OVERHEAD_BYTES = 10
"""The lengths of name and value of a record header take five bytes each at most."""


class OutputTopic:
    """One output or dead-letter topic of one stage.

    Attributes:
        metrics: counters of the stage.
        name: name of the topic.
        holds_letters: whether it is a dead-letter topic, whose records may get another timestamp.
        untimed: whether its dead letters get no timestamp, because it has refused one of ours.
        needs_keys: whether the broker refuses a record without a key, together with its batch.
        max_message_bytes: largest batch that the topic accepts, after compression.
        for_large: codecs that may make an output fit that does not fit uncompressed.
        safe_bytes: without headers, a record whose key and value are not larger than this is
            accepted for certain, so its exact size need not be computed.
        max_ahead_ms, max_age_ms: how far timestamps may be from the broker's clock; `None` for any.
        partitioner: chooses the partitions of records.
        event_times: chooses the timestamps of records.

    Args:
        topic: what the broker says of the topic.
        metrics: counters of the stage.
        now: the time in seconds since the epoch.
        compression: how outputs are compressed; `None` for not at all.
        holds_letters: as above.
        is_read_later: whether another stage reads it, so that its records, as dead letters, must
            not be deleted before they are read.
    """

    __slots__ = (
        "_compression",
        "_now",
        "event_times",
        "for_large",
        "holds_letters",
        "max_age_ms",
        "max_ahead_ms",
        "max_message_bytes",
        "metrics",
        "name",
        "needs_keys",
        "partitioner",
        "safe_bytes",
        "untimed",
    )

    def __init__(
        self,
        topic: TopicDescription,
        metrics: StageMetrics,
        now: Callable[[], float] = time.time,
        *,
        compression: Compression | None = None,
        holds_letters: bool = False,
        is_read_later: bool = False,
    ) -> None:
        self._now = now
        self._compression = compression
        self.untimed = False
        self.holds_letters = holds_letters
        self.metrics = metrics
        metrics.records_out.setdefault(topic.name, 0)  # a series that begins at 0
        self.name = topic.name
        self.partitioner = Partitioner(topic.partitions)
        self.event_times = EventTimes(topic, now if holds_letters or is_read_later else None)
        self.describe(topic)

    def describe(self, topic: TopicDescription) -> None:
        """Set the limits of the topic, which may have changed."""
        self.needs_keys = topic.needs_keys
        self.max_message_bytes = topic.max_message_bytes
        self.max_ahead_ms, self.max_age_ms = topic.max_ahead_ms, topic.max_age_ms
        self.safe_bytes = topic.max_message_bytes // 2
        self.for_large = self._codecs_for_large(topic.compression_type)
        self.event_times.describe(topic)

    def use_partitions(self, count: int) -> None:
        """Distribute keys over so many partitions from now on.

        A flush that is open keeps the number with which it began.
        """
        self.partitioner = Partitioner(count)

    def check(self, key: bytes | None, value: bytes, headers: Headers) -> None:
        """Refuse an output that the broker would refuse.

        Raises:
            EncodeError: the topic needs keys, and the output has none.
            RecordTooLargeError: the output is larger than the limit of the topic.
        """
        if key is None and self.needs_keys:
            raise EncodeError(
                f"an output for topic {self.name!r} has no key, but the topic is compacted and "
                "needs one"
            )
        if not self.takes(key, value, headers):
            even = f", even compressed with {self.for_large[0]}" if self.for_large else ""
            raise RecordTooLargeError(
                f"an output of {len(value)} bytes is too large for topic {self.name!r}{even}: its"
                f" max.message.bytes is {self.max_message_bytes}"
            )

    def check_timestamp(self, timestamp: int) -> None:
        """Refuse a timestamp that the broker would refuse.

        Raises:
            RecordRefusedError: it is too far from the broker's clock, taken to be ours.
        """
        if not self.takes_timestamps(timestamp, timestamp):
            ahead = timestamp - int(self._now() * 1000)
            limit, way = (self.max_ahead_ms, "after") if ahead > 0 else (self.max_age_ms, "before")
            raise RecordRefusedError(
                f"the timestamp of an output for topic {self.name!r} is {abs(ahead) / 1000:.0f} s"
                f" {'ahead' if ahead > 0 else 'old'}, and its message.timestamp.{way}.max.ms is"
                f" {limit}"
            )

    def takes_timestamps(self, earliest: int, latest: int) -> bool:
        """Whether events of these times, and of all between them, can be written."""
        ahead, age = self.max_ahead_ms, self.max_age_ms
        if (ahead is None and age is None) or self.event_times.may_differ:
            return True
        now = int(self._now() * 1000)
        if ahead is not None and latest > now + ahead:
            return False
        return age is None or earliest >= now - age or earliest == latest == NO_TIMESTAMP

    def date(self, headers: Headers, timestamp: int) -> tuple[Headers, int]:
        """Headers and timestamp of what is written of an event of this time."""
        headers, timestamp = self.event_times.date(headers, timestamp)
        return headers, NO_TIMESTAMP if self.untimed else timestamp

    def takes(self, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        """Whether the broker would accept this record in a batch of its own.

        A record that fits only compressed gets such a batch, because no batch with several records
        may be larger than the limit before it is compressed.
        """
        if key is None and self.needs_keys:
            return False
        size = _BATCH_OVERHEAD_BYTES + len(value or b"") + len(key or b"")
        size += self.event_times.extra_bytes
        for name, content in headers:
            size += len(name.encode()) + len(content or b"") + _HEADER_OVERHEAD_BYTES
        return size <= self.max_message_bytes or self._takes_compressed(key, value, headers)

    def _takes_compressed(self, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        """The same for one that is too large uncompressed. It is compressed to learn its size."""
        if not self.for_large:
            return False
        records = encoded_records([(NO_TIMESTAMP, key, value, headers)])
        max_bytes = self.max_message_bytes - self.event_times.extra_bytes
        return compress_to_fit(self.for_large, records, max_bytes) is not None

    def _codecs_for_large(self, stored_as: str) -> Sequence[Compression]:
        """Which codecs are tried. Dead letters are compressed even if outputs are not.

        A broker that changes the codec of a batch refuses it if it is too large afterwards.
        """
        codecs = [] if self._compression is None else [self._compression]
        if self.holds_letters:
            codecs += [one for one in _FOR_LETTERS if one.is_installed and one not in codecs]
        if stored_as == "producer" or not codecs:
            return codecs
        return [one for one in Compression if one == stored_as and one.is_installed]
