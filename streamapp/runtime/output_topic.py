"""A topic that a segment writes to: its partitions and its limits."""

from streamapp.brokers.partitioner import Partitioner
from streamapp.brokers.protocols import TopicDescription
from streamapp.errors import EncodeError, RecordTooLargeError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import Headers

_BATCH_OVERHEAD_BYTES = 61 + 36
"""The header of a batch in Kafka's v2 format takes 61 bytes. The fields of a record other than its
key, value and headers take 36 at most."""

_HEADER_OVERHEAD_BYTES = 10
"""The lengths of name and value of a record header take five bytes each at most."""


class OutputTopic:
    """One output or dead-letter topic of one stage.

    Attributes:
        metrics: counters of the stage.
        name: name of the topic.
        needs_keys: whether the broker refuses a record without a key, together with its batch.
        max_message_bytes: largest batch, and so the largest record, that the topic accepts.
        safe_bytes: without headers, a record whose key and value are not larger than this is
            accepted for certain, so its exact size need not be computed.
        partitioner: chooses the partitions of records.
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
        """Set the limits of the topic, which may have changed."""
        self.needs_keys = topic.needs_keys
        self.max_message_bytes = topic.max_message_bytes
        self.safe_bytes = topic.max_message_bytes // 2

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
            raise RecordTooLargeError(
                f"an output of {len(value)} bytes is too large for topic {self.name!r}, whose"
                f" max.message.bytes is {self.max_message_bytes}"
            )

    def takes(self, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        """Whether the broker would accept this record in a batch of its own."""
        if key is None and self.needs_keys:
            return False
        size = _BATCH_OVERHEAD_BYTES + len(value or b"") + len(key or b"")
        for name, content in headers:
            size += len(name.encode()) + len(content or b"") + _HEADER_OVERHEAD_BYTES
        return size <= self.max_message_bytes
