"""What Kafka has of a pipeline: groups, topics, and unread records in them.

A group or topic `<pipeline>.<name>` counts as the pipeline's if `<name>` has no dot. With a dot it
may belong to another pipeline: the topics of a pipeline `a.b` begin with `a.` too. So the rename of
a stage whose own name has a dot is not noticed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from streamapp.brokers.protocols import Admin
from streamapp.pipeline.dead_letter_topics import DEAD_LETTERS_SUFFIX
from streamapp.pipeline.replay_topics import REPLAY_SUFFIX
from streamapp.pipeline.retry_topics import RETRY_INFIX
from streamapp.pipeline.topology import Topology
from streamapp.record import TopicPartition
from streamapp.renames.asked_once import AskedOnce, Offsets
from streamapp.renames.moves import home_of, position_of, true_offsets
from streamapp.renames.rollbacks import gone_on_as
from streamapp.renames.side_topics import furthest

_OWN_TOPICS = ("", DEAD_LETTERS_SUFFIX, REPLAY_SUFFIX)
"""Endings of the topics that are named after a stage."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A stage that is not declared, although Kafka has its offsets or its dead letters.

    Attributes:
        stage: name of the stage.
        group: its consumer group.
        home: the group that has its offsets, if it was in a bundle; else `None`.
        offsets: where it stands; empty if Kafka has only dead letters.
        topics: topics that are named after it and that the pipeline does not use.
    """

    stage: str
    group: str
    home: str | None
    offsets: Offsets
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """Unread records in a topic that no stage reads any more.

    Attributes:
        topic: name of the topic.
        records: number of unread offsets: records, and transaction markers if there are any.
    """

    topic: str
    records: int


@dataclass(frozen=True, slots=True)
class Traces:
    """What Kafka has of a pipeline.

    Attributes:
        offsets: committed offsets of the declared stages, by name of the stage; none of a stage
            that goes on where another name stands.
        returned: those stages, whose rename was rolled back, with the name that they had until now.
        orphans: stages that are not declared, by name.
        unread: topics of orphans with unread records.
        waiting: retry topics with unread records, of declared stages that have that delay no more.
        between: topics with unread records between stages that are fused now.
        abandoned: retry and replay topics with unread records, of stages that are not declared.
    """

    offsets: Mapping[str, Offsets]
    returned: Mapping[str, str] = field(default_factory=dict)
    orphans: Mapping[str, Orphan] = field(default_factory=dict)
    unread: tuple[Unread, ...] = ()
    waiting: tuple[Unread, ...] = ()
    between: tuple[Unread, ...] = ()
    abandoned: tuple[Unread, ...] = ()


async def find_traces(kafka: AskedOnce, topology: Topology, heads: Collection[str]) -> Traces:
    """Ask Kafka; look for orphans only if one of the stages `heads` has no offsets."""
    offsets = {segment.name: await position_of(kafka, segment) for segment in topology.segments}
    returned = {}
    for segment in topology.segments:
        if name := await gone_on_as(kafka, topology, offsets[segment.name]):
            returned[segment.name], offsets[segment.name] = name, {}
    unused = await kafka.list_topics() - frozenset(topology.topics())
    # A bundle has read more than what its stages read now: under old names, and with other delays.
    bundles = {segment.bundle for segment in topology.segments if segment.bundle is not None}
    shared = [await kafka.committed_offsets(bundle) for bundle in sorted(bundles)]
    waiting = await _waiting(kafka.admin, topology, unused, [*offsets.values(), *shared])
    between = await _between_fused(kafka, topology, unused, shared)
    abandoned = await _abandoned(kafka, topology, unused, [*offsets.values(), *shared])
    if all(offsets[head] for head in heads):
        return Traces(offsets, returned, waiting=waiting, between=between, abandoned=abandoned)
    orphans = await _orphans(kafka, topology, unused)
    readers = (*offsets.values(), *shared, *(orphan.offsets for orphan in orphans.values()))
    unread = await _unread_of(kafka.admin, orphans.values(), readers)
    return Traces(offsets, returned, orphans, unread, waiting, between, abandoned)


def _stage_ids(topology: Topology) -> set[str]:
    return {step.stage.stage_id for segment in topology.segments for step in segment.steps}


async def _waiting(
    admin: Admin, topology: Topology, unused: Collection[str], readers: Collection[Offsets]
) -> tuple[Unread, ...]:
    """Unread records in retry topics that a stage had before one of its delays was taken out."""
    starts = tuple(f"{topology.pipeline}.{name}{RETRY_INFIX}" for name in _stage_ids(topology))
    names = sorted(name for name in unused if name.startswith(starts))
    return await _unread(admin, names, [furthest(readers)])


async def _between_fused(
    kafka: AskedOnce, topology: Topology, unused: Collection[str], shared: Collection[Offsets]
) -> tuple[Unread, ...]:
    """Unread records in the topics that fused stages had between them before they were fused."""
    found: list[Unread] = []
    for segment in topology.segments:
        for before, after in pairwise(step.stage.stage_id for step in segment.steps):
            topic = f"{topology.pipeline}.{before}"
            if topic in unused:
                reader = await kafka.committed_offsets(f"{topology.pipeline}.{after}")
                found += await _unread(kafka.admin, [topic], [furthest([reader, *shared])])
    return tuple(found)


async def _abandoned(
    kafka: AskedOnce, topology: Topology, unused: Collection[str], readers: Collection[Offsets]
) -> tuple[Unread, ...]:
    """Unread records in retry and replay topics that were named after a stage without a dot.

    One group at a time has read such a topic: that of the stage, or of one that it was fused to.
    """
    declared = _stage_ids(topology)
    stages = {topic: _stage_of_side_topic(topology.pipeline, topic) for topic in sorted(unused)}
    topics = [topic for topic, stage in stages.items() if stage and stage not in declared]
    if not topics:
        return ()
    groups = [
        name for name in await kafka.list_groups() if name.startswith(f"{topology.pipeline}.")
    ]
    others = [await kafka.committed_offsets(name) for name in groups]
    return await _unread(kafka.admin, topics, [furthest([*others, *readers])])


def _stage_of_side_topic(pipeline: str, topic: str) -> str | None:
    """The stage that a retry or replay topic is named after; `None` if it is no such topic."""
    rest = topic.removeprefix(f"{pipeline}.")
    stage, infix, delay = rest.partition(RETRY_INFIX)
    if not infix:
        stage, infix, delay = rest.removesuffix(REPLAY_SUFFIX), REPLAY_SUFFIX, ""
    is_side_topic = topic == f"{pipeline}.{stage}{infix}{delay}"
    return stage if is_side_topic and stage and not {"."} & {*stage, *delay} else None


async def _orphans(
    kafka: AskedOnce, topology: Topology, topics: Collection[str]
) -> Mapping[str, Orphan]:
    declared = _stage_ids(topology)
    prefix = f"{topology.pipeline}."
    groups = await kafka.list_groups()
    named = {name.removeprefix(prefix) for name in groups if name.startswith(prefix)}
    named |= {
        topic.removeprefix(prefix).removesuffix(DEAD_LETTERS_SUFFIX)
        for topic in topics
        if topic.startswith(prefix) and topic.endswith(DEAD_LETTERS_SUFFIX)
    }
    found = {}
    for stage in sorted(name for name in named - declared if name and "." not in name):
        group = f"{prefix}{stage}"
        own = tuple(name for end in _OWN_TOPICS if (name := f"{group}{end}") in topics)
        own += tuple(sorted(name for name in topics if name.startswith(f"{group}{RETRY_INFIX}")))
        stored = await kafka.committed_offsets(group)
        offsets = await true_offsets(kafka, stored)
        if offsets or await _was_written(
            kafka.admin, [n for n in own if n.endswith(DEAD_LETTERS_SUFFIX)]
        ):
            found[stage] = Orphan(stage, group, home_of(stored), offsets, own)
    return found


async def _was_written(admin: Admin, topics: Collection[str]) -> bool:
    """Whether one of the topics has ever held a record."""
    described = await admin.describe_topics(topics)
    places = [TopicPartition(t.name, i) for t in described.values() for i in range(t.partitions)]
    return any((await admin.end_offsets(places)).values())


async def _unread_of(
    admin: Admin, orphans: Collection[Orphan], readers: Collection[Offsets]
) -> tuple[Unread, ...]:
    """Unread records in what orphans wrote for the next stages."""
    names = [orphan.group for orphan in orphans if orphan.group in orphan.topics]
    return await _unread(admin, names, readers)


async def _unread(
    admin: Admin, names: Collection[str], readers: Collection[Offsets]
) -> tuple[Unread, ...]:
    described = await admin.describe_topics(names)
    found = []
    for name in names:
        places = [TopicPartition(name, i) for i in range(described[name].partitions)]
        beginnings = await admin.beginning_offsets(places)
        ends = await admin.end_offsets(places)
        # A group that reads the topic has offsets in it; without such a group, all is unread.
        positions = [own for own in readers if any(place in own for place in places)] or [{}]
        left = max(
            sum(ends[p] - max(beginnings[p], own[p].offset if p in own else 0) for p in places)
            for own in positions
        )
        if left:
            found.append(Unread(name, left))
    return tuple(found)
