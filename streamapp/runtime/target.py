"""A topic that a segment writes to: its partitions, its limit, its open batches.

Hot path: `keyed` is looked at for each output.
"""

from streamapp.brokers.partitioner import partition_for
from streamapp.brokers.protocols import BatchBuilder, TopicDescription
from streamapp.errors import EncodeError, RecordTooLargeError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import Headers

MAX_CACHED_KEYS = 65_536
"""Keys whose partition is remembered for each topic; then the cache starts anew."""

_BATCH_OVERHEAD_BYTES = 61 + 36
"""Header of a version 2 batch, and the longest frame of its first record."""

_HEADER_OVERHEAD_BYTES = 10
"""Longest length fields of one record header."""


class Target:
    """One output or dead-letter topic of one stage.

    Attributes:
        metrics: counters of the stage.
        name: the topic.
        partitions: how many it has.
        needs_keys: whether a record without a key is refused, and its whole batch with it.
        max_message_bytes: largest batch it takes, and so the largest record.
        roomy_bytes: size of key and value up to which only headers could be too much.
        open: the batch being filled for each partition.
        keyed: partitions of the keys that were seen last.
    """

    __slots__ = (
        "_keyless",
        "keyed",
        "max_message_bytes",
        "metrics",
        "name",
        "needs_keys",
        "open",
        "partitions",
        "roomy_bytes",
    )

    def __init__(self, topic: TopicDescription, metrics: StageMetrics) -> None:
        self.metrics = metrics
        metrics.records_out[topic.name] = 0
        self.name = topic.name
        self.partitions = partitions = topic.partitions
        self.describe(topic)
        self.open: list[BatchBuilder | None] = [None] * partitions
        self.keyed: dict[bytes | None, int] = {}  # never holds None, which goes in turns
        self._keyless = 0

    def describe(self, topic: TopicDescription) -> None:
        """Set what the topic takes now."""
        self.needs_keys = topic.needs_keys
        self.max_message_bytes = topic.max_message_bytes
        self.roomy_bytes = topic.max_message_bytes // 2

    def partition_for(self, key: bytes | None) -> int:
        """Partition of a key that is not in `keyed`, as Kafka's default partitioner has it.

        Records without a key stay together until `turn`, so that they make whole batches.
        """
        if key is None:
            return self._keyless
        if len(self.keyed) >= MAX_CACHED_KEYS:
            self.keyed.clear()
        partition = self.keyed[key] = partition_for(key, self.partitions)
        return partition

    def turn(self) -> None:
        """Let the next records without a key go to the next partition."""
        self._keyless = (self._keyless + 1) % self.partitions

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
