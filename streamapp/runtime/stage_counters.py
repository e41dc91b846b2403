"""Makes the counters of the stages that a service runs."""

from collections.abc import Collection, Iterator, Mapping

from streamapp.observability.loop_blocks import LoopBlocks
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.model_usages import model_usages
from streamapp.pipeline.topology import Segment, Topology


def stage_counters(
    topologies: Collection[Topology],
    segments: Collection[Segment],
    loop: LoopBlocks,
    *,
    stall_after_seconds: float,
) -> Mapping[int, tuple[StageMetrics, ...]]:
    """The counters of the stages of each segment, by its `id`.

    Args:
        topologies: the checked pipelines.
        segments: the segments of theirs that run here.
        loop: what blocks the event loop that they share.
        stall_after_seconds: time without progress after which a stage is said to be stalled.
    """
    made = {id(segment): tuple(_counters(segment)) for segment in segments}
    places = {one.pipeline: one.places for one in topologies}
    counted_usages: set[int] = set()
    for segment in segments:
        for step, metrics in zip(segment.steps, made[id(segment)], strict=True):
            metrics.stall_after_seconds = stall_after_seconds
            metrics.position = places[metrics.pipeline][metrics.stage]
            metrics.models = model_usages(step.stage.agent, counted_usages)
            metrics.loop = loop
    return made


def _counters(segment: Segment) -> Iterator[StageMetrics]:
    for i, step in enumerate(segment.steps):
        yield StageMetrics(
            segment.pipeline,
            step.stage.stage_id,
            ", ".join(segment.source_names),
            fused_to=segment.name if i else None,
        )
