"""The topics that a pipeline needs, with defaults for those that no file declares."""

from collections.abc import Iterable, Mapping

from streamapp.brokers.protocols import TopicDescription, TopicSpec
from streamapp.pipeline.topology import Topology
from streamapp.topics.declaration import DEFAULT_MAX_MESSAGE_BYTES
from streamapp.topics.letter_limits import DEAD_LETTER_EXTRA_BYTES
from streamapp.topics.retention import RETENTION_DELAYS

DEFAULT_PARTITIONS = 4

_LIMIT = "max.message.bytes"
_RETENTION = "retention.ms"
_WEEK_MS = 7 * 24 * 3_600_000


def needed_topics(
    topology: Topology,
    *,
    declared: Iterable[TopicSpec] = (),
    existing: Mapping[str, TopicDescription],
    partitions: int = DEFAULT_PARTITIONS,
    replication_factor: int | None = None,
) -> list[TopicSpec]:
    """Topics to create or change, beside the declared ones.

    An existing topic stays as it is, with one exception: the limit of a topic for dead letters or
    retries is raised to that of its source and the error headers: a large record would stop the
    stage otherwise.

    Args:
        topology: the pipeline.
        declared: topics that a file declares; they are left as they are.
        existing: topics that the broker has, those that match a pattern as well.
        partitions: number of partitions of a new source, output or retry topic; a dead-letter topic
            gets one.
        replication_factor: copies of each partition of a new topic; `None` for the broker's
            default.
    """
    decided = {spec.name: spec for spec in declared}
    limits = {name: topic.max_message_bytes for name, topic in existing.items()} | {
        name: int(spec.config[_LIMIT]) for name, spec in decided.items() if _LIMIT in spec.config
    }
    limits_of_originals = _limits_of_originals(topology, limits)
    letters = {step.dead_letters for segment in topology.segments for step in segment.steps}
    delays = {
        name: topic.delay_seconds
        for segment in topology.segments
        for name, topic in segment.retry_topics.items()
    }
    specs = []
    for name in topology.topics():
        if name in decided:
            continue
        limit = limits_of_originals.get(name)
        found = existing.get(name)
        if found is None:
            config = {} if limit is None else {_LIMIT: str(limit)}
            count = partitions if name not in letters else 1
            if name in delays:
                config[_RETENTION] = str(_retention_ms(delays[name]))
            specs.append(TopicSpec(name, count, replication_factor, config))
        elif limit is not None and found.max_message_bytes < limit:
            config = {_LIMIT: str(limit)}
            specs.append(TopicSpec(name, found.partitions, found.replication_factor, config))
    return specs


def _retention_ms(delay_seconds: float) -> int:
    """How long a retry topic keeps records: a week, or more if they wait for long."""
    return max(_WEEK_MS, round(RETENTION_DELAYS * delay_seconds * 1000))


def _limits_of_originals(topology: Topology, limits: Mapping[str, int]) -> dict[str, int]:
    """Smallest allowed limit of each topic for dead letters, which may be shared, or retries."""
    needed: dict[str, int] = {}
    for segment in topology.segments:
        sources = segment.sources_among(limits)
        source = max(
            (limits.get(topic, DEFAULT_MAX_MESSAGE_BYTES) for topic in sources),
            default=DEFAULT_MAX_MESSAGE_BYTES,
        )
        for step in segment.steps:
            limit = source + DEAD_LETTER_EXTRA_BYTES
            for name in (step.dead_letters, *(topic.name for topic in step.retry_topics)):
                needed[name] = max(limit, needed.get(name, 0))
    return needed
