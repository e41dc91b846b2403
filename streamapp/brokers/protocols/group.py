"""What is known of a consumer group: its members, and what it has committed."""

from dataclasses import dataclass

from streamapp.record import TopicPartition

MAX_COMMIT_METADATA_BYTES = 4096
"""Default of Kafka's `offset.metadata.max.bytes`; a commit with a longer text fails."""


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """What a group has committed for a partition.

    Attributes:
        offset: where the group resumes reading.
        metadata: a text of our own that Kafka stores with the offset, at most 4,096 bytes.
    """

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a consumer group.

    Attributes:
        client_id: what its client calls itself; several may have the same.
        host: where it connects from.
        partitions: what is assigned to it; `None` if that is not known, as during a rebalance.
    """

    client_id: str
    host: str
    partitions: frozenset[TopicPartition] | None
