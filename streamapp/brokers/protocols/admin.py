"""Reads and changes topics and groups."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from streamapp.brokers.protocols.group import CommittedOffset, GroupMember
from streamapp.brokers.protocols.topic import TopicDescription, TopicSpec
from streamapp.record import TopicPartition


class Admin(Protocol):
    """Reads and changes topics and the committed offsets of groups."""

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Close the connections."""

    async def list_topics(self) -> frozenset[str]:
        """Names of all topics except internal ones."""

    async def describe_topics(self, names: Collection[str]) -> Mapping[str, TopicDescription]:
        """Descriptions of the named topics that exist."""

    async def partition_counts(self, names: Collection[str]) -> Mapping[str, int]:
        """Number of partitions of those of the named topics that exist."""

    async def create_topics(self, topics: Collection[TopicSpec]) -> None:
        """Create topics and wait until they can be used.

        Raises:
            TopicError: a topic exists already, or its name or configuration is refused.
        """

    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics with all their records."""

    async def add_partitions(self, topic: str, total: int) -> None:
        """Raise the number of partitions to `total`."""

    async def alter_topic_config(self, topic: str, config: Mapping[str, str]) -> None:
        """Set these configuration values of a topic; other values stay."""

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Delete the records of each partition before the given offset."""

    async def committed_offsets(self, group: str) -> Mapping[TopicPartition, CommittedOffset]:
        """Committed offsets of the group, with their metadata; empty for an unknown group."""

    async def list_groups(self) -> frozenset[str]:
        """Names of all consumer groups that have members or committed offsets."""

    async def member_count(self, group: str) -> int:
        """Number of members of a group; 0 for an unknown group."""

    async def members(self, group: str) -> Sequence[GroupMember]:
        """The members of a group as they are now; none of an unknown group."""

    async def subscribed_topics(self, group: str) -> frozenset[str]:
        """Topics that members of a group subscribe to; none for an unknown group."""

    async def set_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """Set the committed offsets of a group that has no members.

        Raises:
            CommitRefusedError: the group has members.
        """

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Last stable offset of each partition."""

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""

    async def offsets_from(
        self, partitions: Collection[TopicPartition], timestamp_ms: int
    ) -> Mapping[TopicPartition, int]:
        """The first offset of each partition whose record has this timestamp or a later one.

        Timestamps need not rise, so records behind it may be older; none before it is as late. It
        is the end of the log if there is no such record.

        Args:
            partitions: the partitions.
            timestamp_ms: milliseconds since the epoch, not negative.
        """
