"""Which stages read and write a topic, and as what."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from streamapp.pipeline.topology import Segment, Step, Topology


class Role(StrEnum):
    """What a topic is to a stage."""

    SOURCE = "source"
    OUTPUT = "output"
    DEAD_LETTERS = "dead letters"
    RETRY = "retry"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stage beside a topic.

    Attributes:
        segment: the stage with those that are fused to it.
        step: the stage among them; that which reads it, or writes it.
        role: what the topic is to it.
    """

    segment: Segment
    step: Step
    role: Role

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self.step.stage.stage_id

    @property
    def has_error_headers(self) -> bool:
        """Whether records of the topic tell by headers which record has failed."""
        return self.role in (Role.DEAD_LETTERS, Role.RETRY, Role.REPLAY)


class Neighbours:
    """The stages of pipelines by the topics that they read and write.

    Args:
        topologies: the pipelines.
        existing: names of all topics.
    """

    def __init__(self, topologies: Iterable[Topology], existing: Collection[str]) -> None:
        self.segments = tuple(one for topology in topologies for one in topology.segments)
        self._existing = existing

    def of(self, topic: str) -> list[Neighbour]:
        """The stages beside a topic."""
        return [one for segment in self.segments for one in _beside(segment, topic)]

    def readers(self, topic: str) -> list[Segment]:
        """What has this topic as a source."""
        return [one for one in self.segments if one.has_source(topic)]

    def sources(self, segment: Segment) -> list[str]:
        """The sources of a segment that exist."""
        return [topic for topic in segment.sources_among(self._existing) if self.exists(topic)]

    def exists(self, topic: str) -> bool:
        """Whether there is a topic of this name."""
        return topic in self._existing

    def behind(self, segments: Iterable[Segment]) -> list[str]:
        """Topics that records of these segments may get to, without repetition, the nearest first.

        Those that the segments write, and what others read of these write; and their retry and
        replay topics.
        """
        found: dict[str, None] = {}
        ahead, seen = list(segments), list(segments)
        while ahead:
            segment = ahead.pop(0)
            for topic in (*segment.written_topics(), *segment.replay_topics):
                found.setdefault(topic)
                following = [one for one in self.readers(topic) if one not in seen]
                seen += following
                ahead += following
        return list(found)


def _beside(segment: Segment, topic: str) -> Iterator[Neighbour]:
    if segment.has_source(topic):
        yield Neighbour(segment, segment.steps[0], Role.SOURCE)
    index = segment.replay_topics.get(topic)
    if index is not None:
        yield Neighbour(segment, segment.steps[index], Role.REPLAY)
    for step in segment.steps:
        if topic in step.output_topics():
            yield Neighbour(segment, step, Role.OUTPUT)
        if topic == step.dead_letters:
            yield Neighbour(segment, step, Role.DEAD_LETTERS)
        if topic in (one.name for one in step.retry_topics):
            yield Neighbour(segment, step, Role.RETRY)
