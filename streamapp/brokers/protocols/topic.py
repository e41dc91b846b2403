"""Topics as they are created and as a broker has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_NO_LIMIT = 2**63 - 1  # how Kafka says it


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create.

    Attributes:
        name: name of the topic.
        partitions: number of partitions.
        replication_factor: number of copies of each partition; `None` for the broker's default.
        config: topic configuration by Kafka's names, such as `max.message.bytes`.
    """

    name: str
    partitions: int
    replication_factor: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the broker has it; `config` holds the effective values by Kafka's names."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]

    @property
    def max_message_bytes(self) -> int:
        """Largest batch, in bytes, that the topic accepts."""
        return int(self.config["max.message.bytes"])

    @property
    def max_ahead_ms(self) -> int | None:
        """How far ahead of the broker's clock timestamps may be; `None` for any."""
        return self._timestamp_limit("message.timestamp.after.max.ms")

    @property
    def max_age_ms(self) -> int | None:
        """How far behind the broker's clock timestamps may be; `None` for any."""
        return self._timestamp_limit("message.timestamp.before.max.ms")

    def _timestamp_limit(self, name: str) -> int | None:
        # A broker that sets timestamps itself takes any; one before Kafka 3.6 has no such limit.
        value = int(self.config.get(name, _NO_LIMIT))
        if self.config.get("message.timestamp.type") == "LogAppendTime" or value == _NO_LIMIT:
            return None
        return value

    @property
    def deletes_old(self) -> bool:
        """Whether the topic deletes records by their age or by its size."""
        return "delete" in self.config.get("cleanup.policy", "delete")

    @property
    def retention_ms(self) -> int | None:
        """Age at which the topic deletes records, by their timestamps; `None` for never."""
        milliseconds = int(self.config.get("retention.ms", "-1"))
        return milliseconds if self.deletes_old and milliseconds >= 0 else None

    @property
    def compression_type(self) -> str:
        """How the broker stores batches: with a codec, `uncompressed`, or as they come: `producer`.

        It checks the size of a batch again after it has changed the compression.
        """
        return self.config.get("compression.type", "producer")

    @property
    def needs_keys(self) -> bool:
        """Whether the topic refuses records without a key, because it is compacted."""
        return "compact" in self.config.get("cleanup.policy", "")
