"""A pipeline as a graph: its topics and stages in the order in which records pass through them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamapp.observability.pipeline_report import PipelineReport, PlacedStage, SegmentReport
from streamapp.observability.stage_report import HELD, StageReport
from streamapp.policies.delays import delay_name


@dataclass(frozen=True, slots=True)
class Side:
    """A topic beside the way: what a stage writes that the next one does not read.

    Attributes:
        topic: its name.
        kind: `route`, `retry` or `letters`.
        note: how records come there, in a few words.
        written: records that Kafka has acknowledged; `None` if that is not known.
    """

    topic: str
    kind: str
    note: str
    written: int | None


@dataclass(frozen=True, slots=True)
class FlowStage:
    """A stage in the graph.

    Attributes:
        placed: what it is.
        report: how it does; `None` if no worker of this service runs it.
        sides: what it writes beside its outputs.
        flags: what keeps records back, in a few words each.
    """

    placed: PlacedStage
    report: StageReport | None
    sides: Sequence[Side]
    flags: Sequence[str]


@dataclass(frozen=True, slots=True)
class FlowSegment:
    """Stages that share a consumer group, after the topics that they read.

    Attributes:
        sources: names of these.
        head: how the first stage does, which reads for all; `None` if that is not known.
        stages: in the order in which records pass through them.
    """

    sources: Sequence[str]
    head: StageReport | None
    stages: Sequence[FlowStage]


@dataclass(frozen=True, slots=True)
class Flow:
    """A pipeline: its segments, and the topic at its end if there is one."""

    segments: Sequence[FlowSegment]
    sink: str | None


def flow_of(pipeline: PipelineReport, stages: Mapping[str, StageReport]) -> Flow:
    """The graph of a pipeline.

    Args:
        pipeline: what it is.
        stages: how its stages do, by their names.
    """
    nexts: list[SegmentReport | None] = [*pipeline.segments[1:], None]
    segments = [
        _segment(one, following, stages)
        for one, following in zip(pipeline.segments, nexts, strict=True)
    ]
    last = pipeline.segments[-1].stages[-1] if pipeline.segments else None
    return Flow(segments, last.output if last else None)


def _segment(
    segment: SegmentReport, following: SegmentReport | None, stages: Mapping[str, StageReport]
) -> FlowSegment:
    read = () if following is None else following.sources
    shown = [_stage(one, stages.get(one.stage), read) for one in segment.stages]
    return FlowSegment(segment.sources, shown[0].report if shown else None, shown)


def _stage(placed: PlacedStage, report: StageReport | None, read: Sequence[str]) -> FlowStage:
    return FlowStage(placed, report, list(_sides(placed, report, read)), list(_flags(report)))


def _sides(placed: PlacedStage, report: StageReport | None, read: Sequence[str]) -> Iterator[Side]:
    def written(topic: str) -> int | None:
        return None if report is None else report.written.get(topic, 0)

    if placed.output is not None and read and placed.output not in read:
        yield Side(placed.output, "route", "output", written(placed.output))
    for route, topic in placed.routes.items():
        yield Side(topic, "route", f"by the route {route}", written(topic))
    for topic, seconds in placed.retry_topics.items():
        yield Side(topic, "retry", f"back after {delay_name(seconds)}", written(topic))
    if placed.dead_letters is not None:
        letters = None if report is None else sum(report.dead_letters.values())
        yield Side(placed.dead_letters, "letters", "dead letters", letters)


def _flags(report: StageReport | None) -> Iterator[str]:
    """What keeps records back."""
    if report is None:
        return
    if report.state == HELD:
        yield "holds its records"
    in_flight, most = report.in_flight, report.most_in_flight
    if in_flight is not None and most is not None and in_flight > most // 2:
        yield "backpressure: takes no more for now"
    paused = sum(one.is_paused for one in report.assigned)
    if paused:
        yield "1 partition paused" if paused == 1 else f"{paused:,} partitions paused"
    if report.waits_for:
        yield f"waits for {report.waits_for}"
    if report.left_out:
        yield f"left out: {', '.join(report.left_out)}"
