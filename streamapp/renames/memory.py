"""What Kafka remembers of a pipeline: its groups, its topics, and what in them is unread.

A group or topic `<pipeline>.<name>` is taken for the pipeline's where the name has no dot: those of
a pipeline `a.b` begin with `a.` as well, and have one. So a stage whose own name has a dot is not
seen when it is renamed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from streamapp.brokers.protocols import Admin, CommittedOffset
from streamapp.pipeline.topology import Topology
from streamapp.record import TopicPartition

Offsets = Mapping[TopicPartition, CommittedOffset]

DEAD_LETTERS = ".dlq"
_OWN_TOPICS = ("", DEAD_LETTERS, ".replay")
"""Endings of the topics that are called after a stage."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A stage that Kafka remembers and the pipeline does not have.

    Attributes:
        stage: its name.
        group: its consumer group.
        offsets: what that has committed; empty where only its dead letters tell of it.
        topics: those that are called after it and that the pipeline does not use.
    """

    stage: str
    group: str
    offsets: Offsets
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """Records in a topic that no stage reads any more.

    Attributes:
        topic: its name.
        records: how many no stage has read, give or take transaction markers.
    """

    topic: str
    records: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What Kafka remembers.

    Attributes:
        offsets: what the groups of the declared stages have committed, by the name of the stage.
        orphans: stages that are not declared, by name.
        unread: the topics of orphans with records that nobody has read.
    """

    offsets: Mapping[str, Offsets]
    orphans: Mapping[str, Orphan] = field(default_factory=dict)
    unread: tuple[Unread, ...] = ()


async def remember(admin: Admin, topology: Topology, heads: Collection[str]) -> Memory:
    """Ask Kafka; for orphans only if one of these stages has committed nothing."""
    offsets = {
        segment.name: await admin.committed_offsets(segment.group) for segment in topology.segments
    }
    if all(offsets[head] for head in heads):
        return Memory(offsets)
    orphans = await _orphans(admin, topology)
    readers = (*offsets.values(), *(orphan.offsets for orphan in orphans.values()))
    unread = await _unread(admin, orphans.values(), readers)
    return Memory(offsets, orphans, unread)


async def _orphans(admin: Admin, topology: Topology) -> Mapping[str, Orphan]:
    declared = {step.stage.stage_id for segment in topology.segments for step in segment.steps}
    used = frozenset(topology.topics())
    prefix = f"{topology.pipeline}."
    topics = await admin.list_topics() - used
    groups = await admin.list_groups()
    named = {name.removeprefix(prefix) for name in groups if name.startswith(prefix)}
    named |= {
        topic.removeprefix(prefix).removesuffix(DEAD_LETTERS)
        for topic in topics
        if topic.startswith(prefix) and topic.endswith(DEAD_LETTERS)
    }
    found = {}
    for stage in sorted(name for name in named - declared if name and "." not in name):
        group = f"{prefix}{stage}"
        own = tuple(name for end in _OWN_TOPICS if (name := f"{group}{end}") in topics)
        offsets = await admin.committed_offsets(group)
        if offsets or await _was_written(admin, [n for n in own if n.endswith(DEAD_LETTERS)]):
            found[stage] = Orphan(stage, group, offsets, own)
    return found


async def _was_written(admin: Admin, topics: Collection[str]) -> bool:
    """Whether a record has ever been in one of the topics: an empty one tells of no work."""
    described = await admin.describe_topics(topics)
    places = [TopicPartition(t.name, i) for t in described.values() for i in range(t.partitions)]
    return any((await admin.end_offsets(places)).values())


async def _unread(
    admin: Admin, orphans: Collection[Orphan], readers: Collection[Offsets]
) -> tuple[Unread, ...]:
    """What is left in the topics that orphans wrote to and that the next stages read."""
    names = [orphan.group for orphan in orphans if orphan.group in orphan.topics]
    described = await admin.describe_topics(names)
    found = []
    for name in names:
        places = [TopicPartition(name, i) for i in range(described[name].partitions)]
        beginnings = await admin.beginning_offsets(places)
        ends = await admin.end_offsets(places)
        # A group that reads the topic has committed in it; without one, everything is unread.
        positions = [own for own in readers if any(place in own for place in places)] or [{}]
        left = max(
            sum(ends[p] - max(beginnings[p], own[p].offset if p in own else 0) for p in places)
            for own in positions
        )
        if left:
            found.append(Unread(name, left))
    return tuple(found)
