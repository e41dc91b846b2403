"""What Kafka has of topics and groups, asked for once at a start.

A bundle has hundreds of stages in one group, and its pipelines share one cluster: asked for each of
them, the same long answers would make its start quadratic.
"""

from collections.abc import Mapping

from streamapp.brokers.protocols import Admin, CommittedOffset
from streamapp.pipeline.topology import Segment
from streamapp.record import TopicPartition

Offsets = Mapping[TopicPartition, CommittedOffset]


class AskedOnce:
    """Answers as of the first question; for the time of one look at Kafka.

    Attributes:
        admin: asks the rest, each time anew.
    """

    def __init__(self, admin: Admin) -> None:
        self.admin = admin
        self._topics: frozenset[str] | None = None
        self._groups: frozenset[str] | None = None
        self._offsets: dict[str, Offsets] = {}
        self._by_topic: dict[str, dict[str, dict[TopicPartition, CommittedOffset]]] = {}

    async def list_topics(self) -> frozenset[str]:
        """Names of all topics except internal ones."""
        if self._topics is None:
            self._topics = await self.admin.list_topics()
        return self._topics

    async def list_groups(self) -> frozenset[str]:
        """Names of all consumer groups that have members or committed offsets."""
        if self._groups is None:
            self._groups = await self.admin.list_groups()
        return self._groups

    async def committed_offsets(self, group: str) -> Offsets:
        """Committed offsets of a group; empty for an unknown group."""
        if group not in self._offsets:
            self._offsets[group] = await self.admin.committed_offsets(group)
        return self._offsets[group]

    async def offsets_of(self, segment: Segment, group: str) -> Offsets:
        """Those of the committed offsets of a group that are of the topics of a segment."""
        offsets = await self.committed_offsets(group)
        if segment.patterns:
            return own_of(segment, offsets)
        return {
            name: kept
            for topic in (*segment.read_topics, *segment.replay_topics)
            for name, kept in (await self.offsets_in(topic, group)).items()
        }

    async def offsets_in(self, topic: str, group: str) -> Offsets:
        """Committed offsets of a group in one topic."""
        if group not in self._by_topic:
            by_topic = self._by_topic[group] = {}
            for name, kept in (await self.committed_offsets(group)).items():
                by_topic.setdefault(name.topic, {})[name] = kept
        return self._by_topic[group].get(topic, {})


def own_of(segment: Segment, offsets: Offsets) -> Offsets:
    """Those of the committed offsets of a group that are of the topics of a segment."""
    return {
        name: kept
        for name, kept in offsets.items()
        if segment.has_source(name.topic)
        or name.topic in segment.retry_topics
        or name.topic in segment.replay_topics
    }
