"""How far groups of stages are behind, read from Kafka alone: also of stages that do not run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamapp.brokers.protocols import Admin, CommittedOffset
from streamapp.pipeline.dead_letter_topics import dead_letters_of
from streamapp.record import TopicPartition
from streamapp.runtime.commit_metadata import is_ours


@dataclass(frozen=True, slots=True)
class TopicLag:
    """How far a group is behind in one topic.

    Attributes:
        group: name of the group: that of a stage is its pipeline and its own name, with a dot
            between; that of a bundle is the bundle's.
        topic: name of the topic.
        partitions: partitions of the topic.
        never_read: those with records in which the group has no offset; all of these are behind.
        behind: records between the committed offsets and the ends.
        gone: records among them that the topic has deleted already.
        furthest: the partition that is behind most, and by how many records.
        members: members of the group now.
    """

    group: str
    topic: str
    partitions: int
    never_read: int
    behind: int
    gone: int
    furthest: tuple[int, int]
    members: int


async def group_lags(admin: Admin, pipeline: str | None) -> Sequence[TopicLag]:
    """The lag of all groups whose offsets a stage has committed, by group and topic.

    Other programs that move the positions of a group leave nothing of a stage behind; then the name
    of its dead-letter topic tells.

    Args:
        admin: reads from Kafka.
        pipeline: only the groups of this pipeline.

    Raises:
        BrokerError: Kafka does not answer.
    """
    found: list[TopicLag] = []
    topics = await admin.list_topics()
    for group in sorted(await admin.list_groups()):
        if pipeline is not None and not group.startswith(f"{pipeline}."):
            continue
        offsets = await admin.committed_offsets(group)
        is_named_so = dead_letters_of(group) in topics
        if is_named_so or any(is_ours(kept.metadata, kept.offset) for kept in offsets.values()):
            found += await _lags_of(admin, group, offsets)
    return found


async def _lags_of(
    admin: Admin, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
) -> Sequence[TopicLag]:
    existing = await admin.partition_counts({name.topic for name in offsets})
    places = [TopicPartition(topic, i) for topic in existing for i in range(existing[topic])]
    ends = await admin.end_offsets(places)
    begins = await admin.beginning_offsets(places)
    stand = {name: offsets[name].offset if name in offsets else begins[name] for name in places}
    members = await admin.member_count(group)
    lags: list[TopicLag] = []
    for topic in sorted({name.topic for name in places}):
        own = [name for name in places if name.topic == topic]
        behind = {name: max(0, ends[name] - stand[name]) for name in own}
        furthest = max(own, key=lambda name: (behind[name], -name.partition))
        lags.append(
            TopicLag(
                group=group,
                topic=topic,
                partitions=len(own),
                never_read=sum(name not in offsets and behind[name] > 0 for name in own),
                behind=sum(behind.values()),
                gone=sum(max(0, begins[name] - stand[name]) for name in own),
                furthest=(furthest.partition, behind[furthest]),
                members=members,
            )
        )
    return lags
