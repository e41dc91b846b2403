"""A topic that a segment writes to: its partitions and its limits."""

from streamapp.brokers.partitioner import Partitioner
from streamapp.brokers.protocols import TopicDescription
from streamapp.errors import EncodeError, RecordTooLargeError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import Headers

_BATCH_OVERHEAD_BYTES = 61 + 36
"""Header of a version 2 batch, and the longest frame of its first record."""

_HEADER_OVERHEAD_BYTES = 10
"""Longest length fields of one record header."""


class OutputTopic:
    """One output or dead-letter topic of one stage.

    Attributes:
        metrics: counters of the stage.
        name: the topic.
        needs_keys: whether a record without a key is refused, and its whole batch with it.
        max_message_bytes: largest batch it takes, and so the largest record.
        safe_bytes: size of key and value up to which only headers could be too much.
        partitioner: places records in its partitions.
    """

    __slots__ = (
        "max_message_bytes",
        "metrics",
        "name",
        "needs_keys",
        "partitioner",
        "safe_bytes",
    )

    def __init__(self, topic: TopicDescription, metrics: StageMetrics) -> None:
        self.metrics = metrics
        metrics.records_out[topic.name] = 0
        self.name = topic.name
        self.partitioner = Partitioner(topic.partitions)
        self.describe(topic)

    def describe(self, topic: TopicDescription) -> None:
        """Set what the topic takes now."""
        self.needs_keys = topic.needs_keys
        self.max_message_bytes = topic.max_message_bytes
        self.safe_bytes = topic.max_message_bytes // 2

    def check(self, key: bytes | None, value: bytes, headers: Headers) -> None:
        """Refuse an output that the broker would not take.

        Raises:
            EncodeError: the topic needs keys, and it has none.
            RecordTooLargeError: it is larger than the topic's limit.
        """
        if key is None and self.needs_keys:
            raise EncodeError(
                f"an output without a key for topic {self.name!r}, which is compacted and needs one"
            )
        if not self.takes(key, value, headers):
            raise RecordTooLargeError(
                f"an output of {len(value)} bytes for topic {self.name!r}, which takes batches of"
                f" {self.max_message_bytes}"
            )

    def takes(self, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        """Whether the broker would take this record, in a batch of its own."""
        if key is None and self.needs_keys:
            return False
        size = _BATCH_OVERHEAD_BYTES + len(value or b"") + len(key or b"")
        for name, content in headers:
            size += len(name.encode()) + len(content or b"") + _HEADER_OVERHEAD_BYTES
        return size <= self.max_message_bytes
