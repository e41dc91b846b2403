"""Topics of the memory broker: their partitions and their configuration."""

import re
from collections.abc import Iterator, Mapping

from streamapp.brokers.memory.log import PartitionLog
from streamapp.brokers.protocols import TopicDescription, TopicSpec
from streamapp.errors import TopicError
from streamapp.record import TopicPartition

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")

# The settings of a topic in Kafka 4 and their defaults; -1 and the largest long mean "no limit".
# See https://kafka.apache.org/documentation/#topicconfigs
_FOREVER = str(2**63 - 1)
DEFAULT_CONFIG: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "compression.gzip.level": "-1",
    "compression.lz4.level": "9",
    "compression.type": "producer",
    "compression.zstd.level": "3",
    "delete.retention.ms": "86400000",
    "file.delete.delay.ms": "60000",
    "flush.messages": _FOREVER,
    "flush.ms": _FOREVER,
    "index.interval.bytes": "4096",
    "max.compaction.lag.ms": _FOREVER,
    "max.message.bytes": "1048588",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": _FOREVER,
    "message.timestamp.type": "CreateTime",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "min.insync.replicas": "1",
    "preallocate": "false",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
    "segment.index.bytes": "10485760",
    "segment.jitter.ms": "0",
    "segment.ms": "604800000",
    "unclean.leader.election.enable": "false",
}


class MemoryTopic:
    """One topic.

    Attributes:
        name: name of the topic.
        logs: one log for each partition.
        max_message_bytes: largest batch that the topic accepts.
        compression_type: how it stores batches.
        max_ahead_ms, max_age_ms: how far its timestamps may be from the clock; `None` for any.
        needs_keys: whether it refuses records without a key.
        has_append_times: whether records get the time of their append as their timestamp.
        retention_ms: how old a record becomes at most; `None` for any age.
    """

    def __init__(self, spec: TopicSpec) -> None:
        self.name = spec.name
        self.logs: list[PartitionLog] = []
        self._replication_factor = spec.replication_factor or 1
        self._config = dict(spec.config)
        self.grow(spec.partitions)
        self._read_limit()

    def grow(self, total: int) -> None:
        """Add partitions until there are `total`."""
        for partition in range(len(self.logs), total):
            self.logs.append(PartitionLog(TopicPartition(self.name, partition)))

    def configure(self, config: Mapping[str, str]) -> None:
        """Set these configuration values; other values stay."""
        self._config |= config
        self._read_limit()

    def describe(self) -> TopicDescription:
        """The topic with its effective configuration."""
        return TopicDescription(
            name=self.name,
            partitions=len(self.logs),
            replication_factor=self._replication_factor,
            config={**DEFAULT_CONFIG, **self._config},
        )

    def _read_limit(self) -> None:
        described = self.describe()
        self.max_message_bytes = described.max_message_bytes
        self.compression_type = described.compression_type
        self.max_ahead_ms, self.max_age_ms = described.max_ahead_ms, described.max_age_ms
        self.needs_keys = described.needs_keys
        self.has_append_times = described.config["message.timestamp.type"] == "LogAppendTime"
        retention_ms = int(described.config["retention.ms"])
        expires = "delete" in described.config["cleanup.policy"] and retention_ms >= 0
        self.retention_ms = retention_ms if expires else None


class TopicStore:
    """All topics of a broker, by name."""

    def __init__(self) -> None:
        self._topics: dict[str, MemoryTopic] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._topics)

    def find(self, name: str) -> MemoryTopic | None:
        """The topic, or `None` if it does not exist."""
        return self._topics.get(name)

    def get(self, name: str) -> MemoryTopic:
        """The topic.

        Raises:
            TopicError: it does not exist.
        """
        try:
            return self._topics[name]
        except KeyError:
            raise TopicError(f"topic {name!r} does not exist; create it first") from None

    def log(self, partition: TopicPartition) -> PartitionLog:
        """The log of a partition.

        Raises:
            TopicError: the topic does not exist or has fewer partitions.
        """
        logs = self.get(partition.topic).logs
        if not 0 <= partition.partition < len(logs):
            raise TopicError(
                f"topic {partition.topic!r} has {len(logs)} partitions and none of the number "
                f"{partition.partition}"
            )
        return logs[partition.partition]

    def create(self, spec: TopicSpec) -> None:
        """Create a topic.

        Raises:
            TopicError: it exists, or its name, partitions or configuration are refused.
        """
        if spec.name in self._topics:
            raise TopicError(f"topic {spec.name!r} exists already")
        if not _LEGAL_NAME.fullmatch(spec.name) or spec.name in (".", ".."):
            raise TopicError(
                f"{spec.name!r} is not a valid topic name: use at most 249 ASCII letters, digits, "
                "'.', '_' and '-'"
            )
        if spec.partitions < 1:
            raise TopicError(f"topic {spec.name!r} needs at least one partition")
        check_config(spec.name, spec.config)
        self._topics[spec.name] = MemoryTopic(spec)

    def delete(self, name: str) -> MemoryTopic:
        """Delete a topic with its records, and return it."""
        topic = self.get(name)
        del self._topics[name]
        return topic


def check_config(topic: str, config: Mapping[str, str]) -> None:
    """Refuse configuration that Kafka would refuse.

    Raises:
        TopicError: a name is unknown, or a value that must be a number is not one.
    """
    for name, value in config.items():
        default = DEFAULT_CONFIG.get(name)
        if default is None:
            raise TopicError(f"topic {topic!r}: unknown configuration {name!r}")
        if default.lstrip("-").isdigit() and not value.lstrip("-").isdigit():
            raise TopicError(f"topic {topic!r}: {name} must be a whole number, not {value!r}")
