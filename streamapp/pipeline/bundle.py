"""Bundles: several small pipelines that are read as one consumer group."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from streamapp.errors import PipelineError
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Segment, Topology, build
from streamapp.topics.topic import check_topic_name


class Bundle:
    """Pipelines that share one consumer, and so one consumer group.

    A stage of its own costs a consumer with its connections. Hundreds of small pipelines fit into
    one worker if they share one. They rebalance together, and each topic is read by one stage.

    Args:
        name: name of the bundle, and of its consumer group; legal in a topic name.
        pipelines: at least one.

    Attributes:
        name: name of the bundle.
        pipelines: the pipelines.

    Raises:
        PipelineError: there is no pipeline, or something else than a pipeline.
        TopicError: the name is not legal.
    """

    def __init__(self, name: str, pipelines: Iterable[Pipeline[Any, Any]]) -> None:
        check_topic_name(name)
        self.name = name
        self.pipelines = tuple(pipelines)
        if not self.pipelines:
            raise PipelineError(f"bundle {name!r} has no pipeline; give it some")
        for one in self.pipelines:
            if not isinstance(one, Pipeline):
                raise PipelineError(
                    f"bundle {name!r} is made of pipelines, and {one!r} is none; give it pipelines"
                )

    def __repr__(self) -> str:
        return f"Bundle({self.name!r}, {len(self.pipelines)} pipelines)"


def build_bundle(bundle: Bundle) -> tuple[Topology, ...]:
    """Check the pipelines of a bundle, and that they can be read as one group.

    Raises:
        PipelineError: a pipeline is wrong, two have the same name, two stages read one topic, a
            stage reads topics by a pattern, or the bundle has the name of a stage's own group.
    """
    return in_bundle(bundle.name, [build(pipeline) for pipeline in bundle.pipelines])


def in_bundle(name: str, topologies: Sequence[Topology]) -> tuple[Topology, ...]:
    """Check that pipelines can be read as one group, and give them that group.

    Raises:
        PipelineError: as `build_bundle`.
    """
    readers: dict[str, Segment] = {}
    names: set[str] = set()
    for topology in topologies:
        if topology.pipeline in names:
            raise PipelineError(
                f"bundle {name!r} has two pipelines {topology.pipeline!r}; rename one"
            )
        names.add(topology.pipeline)
        for segment in topology.segments:
            _check_segment(name, segment, readers)
    return tuple(_with_bundle(topology, name) for topology in topologies)


def _check_segment(bundle: str, segment: Segment, readers: dict[str, Segment]) -> None:
    if segment.patterns:
        raise PipelineError(
            f"bundle {bundle!r}: {_named(segment)} reads topics by the pattern"
            f" {segment.patterns[0].pattern.name!r}, and a topic that matches might be read by"
            " another stage of the bundle; run this pipeline outside of the bundle, or name its"
            " topics"
        )
    if segment.reader is not None:
        raise PipelineError(
            f"bundle {bundle!r}: the {segment.reader.in_words} reads the topics of"
            f" {_named(segment)} in a group of its own; run this pipeline outside of the bundle"
        )
    if segment.full_name == bundle:
        raise PipelineError(
            f"bundle {bundle!r} has the name of the consumer group that {_named(segment)} has"
            " outside of it; rename the bundle"
        )
    for topic in (*segment.read_topics, *segment.replay_topics):
        other = readers.setdefault(topic, segment)
        if other is not segment:
            raise PipelineError(
                f"bundle {bundle!r}: topic {topic!r} is read by {_named(other)} and by"
                f" {_named(segment)}, but one group reads each record once; put one of the two"
                " pipelines into another bundle"
            )


def _named(segment: Segment) -> str:
    return f"stage {segment.name!r} of pipeline {segment.pipeline!r}"


def _with_bundle(topology: Topology, bundle: str) -> Topology:
    segments = tuple(replace(segment, bundle=bundle) for segment in topology.segments)
    return replace(topology, segments=segments)
