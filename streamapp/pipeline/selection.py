"""Which segments of pipelines a worker runs, and which topics lie between stages."""

from collections.abc import Collection, Iterable, Sequence

from streamapp.errors import ConfigurationError
from streamapp.pipeline.topology import Segment, Topology


def selected(topology: Topology, stages: Collection[str]) -> list[Segment]:
    """The segments of a pipeline with these names; all if there are none."""
    return [segment for segment in topology.segments if not stages or segment.name in stages]


def topics_between(topologies: Iterable[Topology]) -> frozenset[str]:
    """Topics that one stage writes and another reads, whether this worker runs them or not."""
    segments = [segment for topology in topologies for segment in topology.segments]
    written = {name for segment in segments for name in segment.written_topics()}
    read = {name for segment in segments for name in segment.read_topics}
    patterns = [pattern for segment in segments for pattern in segment.patterns]
    return frozenset(
        name for name in written if name in read or any(one.matches(name) for one in patterns)
    )


def check_selection(topologies: Sequence[Topology], stages: Collection[str]) -> None:
    """Require names of stages to be those of segments.

    Raises:
        ConfigurationError: one is none, or is fused to the stage before.
    """
    heads = [segment.name for topology in topologies for segment in topology.segments]
    fused = {
        step.stage.stage_id: segment.name
        for topology in topologies
        for segment in topology.segments
        for step in segment.steps[1:]
    }
    for stage in stages:
        if stage in fused:
            raise ConfigurationError(
                f"stage {stage!r} is fused to {fused[stage]!r} and runs with it;"
                f" name {fused[stage]!r}"
            )
        if stage not in heads:
            raise ConfigurationError(f"there is no stage {stage!r}; there are: {', '.join(heads)}")
