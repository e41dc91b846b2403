"""Topics and group offsets of the memory broker."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from streamapp.brokers.memory.group import Groups
from streamapp.brokers.memory.network import Network
from streamapp.brokers.memory.topics import TopicStore, check_config
from streamapp.brokers.protocols import (
    CommittedOffset,
    GroupMember,
    TopicDescription,
    TopicSpec,
)
from streamapp.errors import OffsetOutOfRangeError, TopicError
from streamapp.record import TopicPartition


class MemoryAdmin:
    """Admin client of the memory broker."""

    def __init__(self, topics: TopicStore, groups: Groups, network: Network) -> None:
        self._topics = topics
        self._groups = groups
        self._network = network

    async def start(self) -> None:
        """Connect."""
        self._network.connect()

    async def stop(self) -> None:
        """Do nothing: there is no connection."""

    async def list_topics(self) -> frozenset[str]:
        """Names of all topics."""
        return frozenset(self._topics)

    async def describe_topics(self, names: Collection[str]) -> Mapping[str, TopicDescription]:
        """Descriptions of the named topics that exist."""
        found = ((name, self._topics.find(name)) for name in names)
        return {name: topic.describe() for name, topic in found if topic is not None}

    async def partition_counts(self, names: Collection[str]) -> Mapping[str, int]:
        """Number of partitions of those of the named topics that exist."""
        found = ((name, self._topics.find(name)) for name in names)
        return {name: len(topic.logs) for name, topic in found if topic is not None}

    async def create_topics(self, topics: Collection[TopicSpec]) -> None:
        """Create topics. When one is refused, the others are created all the same.

        Every replication factor is accepted, though there is only one copy.

        Raises:
            TopicError: a topic exists already, or its name or configuration is refused.
        """
        refusals = []
        for spec in topics:
            try:
                self._topics.create(spec)
            except TopicError as error:
                refusals.append(error)
            else:
                self._rebalance_readers(spec.name)
        if refusals:
            raise refusals[0]

    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics with all their records and committed offsets.

        Raises:
            TopicError: a topic does not exist.
        """
        for name in names:
            self._topics.delete(name)
            for group in self._groups:
                for partition in [p for p in group.commits if p.topic == name]:
                    del group.commits[partition]
            self._rebalance_readers(name)

    async def add_partitions(self, topic: str, total: int) -> None:
        """Raise the number of partitions to `total`.

        Raises:
            TopicError: the topic does not exist or has `total` or more partitions already.
        """
        existing = self._topics.get(topic)
        if total <= len(existing.logs):
            raise TopicError(
                f"topic {topic!r} has {len(existing.logs)} partitions already, and partitions can "
                "only be added"
            )
        existing.grow(total)
        self._rebalance_readers(topic)

    async def alter_topic_config(self, topic: str, config: Mapping[str, str]) -> None:
        """Set these configuration values of a topic; other values stay.

        Raises:
            TopicError: the topic does not exist or a value is refused.
        """
        existing = self._topics.get(topic)
        check_config(topic, config)
        existing.configure(config)

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Delete the records of each partition before the given offset.

        Raises:
            OffsetOutOfRangeError: an offset is past the end of its log.
        """
        for partition, offset in before.items():
            log = self._topics.log(partition)
            if offset > log.end_offset:
                raise OffsetOutOfRangeError(
                    f"cannot delete records of {partition} before {offset}: the log ends at "
                    f"{log.end_offset}",
                    offsets={partition: offset},
                )
            log.delete_before(offset)

    async def committed_offsets(self, group: str) -> Mapping[TopicPartition, CommittedOffset]:
        """Committed offsets of the group, with their metadata; empty for an unknown group."""
        await asyncio.sleep(0)  # so that a caller that asks in a loop lets other tasks run
        found = self._groups.find(group)
        return dict(found.commits) if found is not None else {}

    async def list_groups(self) -> frozenset[str]:
        """Names of all consumer groups that have members or committed offsets."""
        return frozenset(g.name for g in self._groups if g.commits or g.member_count)

    async def member_count(self, group: str) -> int:
        """Number of members of a group; 0 for an unknown group."""
        found = self._groups.find(group)
        return found.member_count if found is not None else 0

    async def members(self, group: str) -> Sequence[GroupMember]:
        """The members of a group as they are now; none of an unknown group."""
        found = self._groups.find(group)
        return found.members if found is not None else ()

    async def subscribed_topics(self, group: str) -> frozenset[str]:
        """Topics that members of a group subscribe to; none for an unknown group."""
        found = self._groups.find(group)
        return found.subscribed_topics if found is not None else frozenset()

    async def set_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """Set the committed offsets of a group that has no members.

        Raises:
            CommitRefusedError: the group has members.
        """
        await asyncio.sleep(0)
        self._groups.get(group).set_offsets(offsets)

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """End offset of each log: the offset that its next record gets."""
        await asyncio.sleep(0)
        return {partition: self._topics.log(partition).end_offset for partition in partitions}

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""
        return {partition: self._topics.log(partition).start_offset for partition in partitions}

    async def offsets_from(
        self, partitions: Collection[TopicPartition], timestamp_ms: int
    ) -> Mapping[TopicPartition, int]:
        """The first offset of each partition whose record has this timestamp or a later one."""
        await asyncio.sleep(0)
        return {one: self._topics.log(one).offset_from(timestamp_ms) for one in partitions}

    def _rebalance_readers(self, topic: str) -> None:
        for group in self._groups:
            if group.subscribes_to(topic):
                self._groups.notice(group)
