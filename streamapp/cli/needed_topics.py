"""The topics that a pipeline needs, with defaults for those that no file declares."""

from collections.abc import Iterable, Mapping

from streamapp.brokers.protocols import TopicDescription, TopicSpec
from streamapp.pipeline.topology import Topology
from streamapp.topics.declaration import DEFAULT_MAX_MESSAGE_BYTES
from streamapp.topics.letter_limits import DEAD_LETTER_EXTRA_BYTES

DEFAULT_PARTITIONS = 4

_LIMIT = "max.message.bytes"


def needed_topics(
    topology: Topology,
    *,
    declared: Iterable[TopicSpec] = (),
    existing: Mapping[str, TopicDescription],
    partitions: int = DEFAULT_PARTITIONS,
    replication_factor: int = 1,
) -> list[TopicSpec]:
    """Topics to create or change, beside the declared ones.

    An existing topic stays as it is, with one exception: the limit of a dead-letter topic is raised
    to that of its source and the error headers: a large record would stop the stage otherwise.

    Args:
        topology: the pipeline.
        declared: topics that a file declares; they are left as they are.
        existing: topics that the broker has.
        partitions: number of partitions of a new source or output; a dead-letter topic gets one.
        replication_factor: copies of each partition of a new topic.
    """
    decided = {spec.name: spec for spec in declared}
    limits = {name: topic.max_message_bytes for name, topic in existing.items()} | {
        name: int(spec.config[_LIMIT]) for name, spec in decided.items() if _LIMIT in spec.config
    }
    dead_letter_limits = _dead_letter_limits(topology, limits)
    specs = []
    for name in topology.topics():
        if name in decided:
            continue
        limit = dead_letter_limits.get(name)
        found = existing.get(name)
        if found is None:
            config = {} if limit is None else {_LIMIT: str(limit)}
            count = partitions if limit is None else 1
            specs.append(TopicSpec(name, count, replication_factor, config))
        elif limit is not None and found.max_message_bytes < limit:
            config = {_LIMIT: str(limit)}
            specs.append(TopicSpec(name, found.partitions, found.replication_factor, config))
    return specs


def _dead_letter_limits(topology: Topology, limits: Mapping[str, int]) -> dict[str, int]:
    """Smallest allowed limit of each dead-letter topic; several stages may share a topic."""
    needed: dict[str, int] = {}
    for segment in topology.segments:
        source = max(
            limits.get(topic, DEFAULT_MAX_MESSAGE_BYTES) for topic in segment.source_topics
        )
        for step in segment.steps:
            limit = source + DEAD_LETTER_EXTRA_BYTES
            needed[step.dead_letters] = max(limit, needed.get(step.dead_letters, 0))
    return needed
