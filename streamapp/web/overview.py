"""All that the page shows, taken from a status report alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamapp.observability.causes import Level
from streamapp.observability.figures_report import (
    KindReport,
    MemberReport,
    OccurrenceReport,
    OpenLettersReport,
    PartitionReport,
    PartReport,
)
from streamapp.observability.pipeline_report import PipelineReport
from streamapp.observability.readable import counted
from streamapp.observability.stage_report import StageReport, StatusReport
from streamapp.web.flow import Flow, flow_of
from streamapp.web.trouble import Trouble, level_of, troubles_of

MOST_PIPELINES = 20
"""Of more pipelines, the worst are shown with everything and the others by their names."""

MOST_PARTITIONS = 200
"""Of more partitions of a pipeline, those with most lag are shown."""

_WORST_FIRST = tuple(level.value for level in Level)


@dataclass(frozen=True, slots=True)
class PipelineView:
    """A pipeline as the page shows it.

    Attributes:
        name: what it is called.
        level: the worst of its stages.
        stages: how they do.
        flow: the graph of it; `None` where nobody has said what the pipeline is.
    """

    name: str
    level: str
    stages: Sequence[StageReport]
    flow: Flow | None

    @property
    def kinds(self) -> Sequence[tuple[StageReport, KindReport]]:
        """Its dead letters by fingerprint, the most frequent first."""
        found = [(stage, kind) for stage in self.stages for kind in stage.kinds]
        return sorted(found, key=lambda one: (-one[1].count, one[1].fingerprint))

    @property
    def open_letters(self) -> Sequence[tuple[StageReport, OpenLettersReport]]:
        """The dead letters with which nothing was done, of stages of which that is known."""
        found = [(stage, stage.open_letters) for stage in self.stages]
        return [(stage, one) for stage, one in found if one is not None]

    @property
    def occurrences(self) -> Sequence[tuple[StageReport, OccurrenceReport]]:
        """What has happened to its stages, the last first."""
        found = [(stage, one) for stage in self.stages for one in stage.occurrences]
        return sorted(found, key=lambda one: one[1].at, reverse=True)[:30]

    @property
    def partitions(self) -> Sequence[tuple[StageReport, PartitionReport]]:
        """Its partitions, those of unknown lag and of most lag first."""
        found = [(stage, one) for stage in self.stages for one in stage.assigned]
        return sorted(found, key=lambda one: _urgency(one[1]))

    @property
    def paused(self) -> int:
        """How many of them are paused."""
        return sum(one.is_paused or one.pause is not None for _, one in self.partitions)

    @property
    def members(self) -> Sequence[tuple[StageReport, MemberReport]]:
        """The members of its pools."""
        return [(stage, one) for stage in self.stages for one in stage.members]

    @property
    def parts(self) -> Sequence[tuple[StageReport, PartReport]]:
        """The parts of its agents, where an agent has several."""
        return [(s, one) for s in self.stages if len(s.parts) > 1 for one in s.parts]

    @property
    def has_workers(self) -> bool:
        """Whether workers have told of it that are told apart."""
        return any(stage.worker is not None or stage.shares for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Overview:
    """The page.

    Attributes:
        report: what it was made of.
        troubles: what is wrong, the gravest first.
        level: the worst that is known.
        headline: how all does, in a few words.
        pipelines: those that are shown with everything.
        others: those that are shown by their names.
        chosen: the pipeline that was asked for; `None` for all.
    """

    report: StatusReport
    troubles: Sequence[Trouble]
    level: str
    headline: str
    pipelines: Sequence[PipelineView]
    others: Sequence[PipelineView]
    chosen: str | None


def overview_of(report: StatusReport, chosen: str | None = None) -> Overview:
    """What the page shows of a report: all pipelines, or the one that was asked for."""
    views = _views(report)
    troubles = troubles_of(report)
    levels = [*(one.level for one in troubles), *(one.level for one in views)]
    if report.silent_workers:
        levels.append(Level.UNKNOWN.value)
    chosen_ones = [one for one in views if one.name == chosen]
    shown = _worst(views) if chosen is None else chosen_ones
    names = {one.name for one in shown}
    return Overview(
        report=report,
        troubles=troubles,
        level=min(levels, key=_rank, default=Level.WELL.value),
        headline=_headline(report),
        pipelines=shown,
        others=[one for one in views if one.name not in names],
        chosen=chosen,
    )


def _views(report: StatusReport) -> list[PipelineView]:
    known: dict[str, PipelineReport] = {one.pipeline: one for one in report.pipelines}
    by_pipeline: dict[str, list[StageReport]] = {}
    for stage in report.stages:
        by_pipeline.setdefault(stage.pipeline, []).append(stage)
    return [_view(name, stages, known.get(name)) for name, stages in by_pipeline.items()]


def _view(name: str, stages: list[StageReport], shape: PipelineReport | None) -> PipelineView:
    flow = None if shape is None else flow_of(shape, {one.stage: one for one in stages})
    return PipelineView(name, min(map(level_of, stages), key=_rank), stages, flow)


def _urgency(one: PartitionReport) -> tuple[float, str, int]:
    return (float("-inf") if one.lag is None else -one.lag, one.topic, one.partition)


def _worst(views: list[PipelineView]) -> list[PipelineView]:
    """All of few pipelines in their order, the worst of many."""
    if len(views) <= MOST_PIPELINES:
        return views
    return sorted(views, key=lambda one: _rank(one.level))[:MOST_PIPELINES]


def _rank(level: str) -> int:
    return _WORST_FIRST.index(level) if level in _WORST_FIRST else 0


_WORDS = {
    Level.FAILING: ("fails", "fail"),
    Level.UNKNOWN: ("is not known to work", "are not known to work"),
    Level.ATTENTION: ("needs attention", "need attention"),
}


def _headline(report: StatusReport) -> str:
    found = _stages_told(report.stages)
    if silent := report.silent_workers:
        return f"{found}; {counted(silent, 'worker')} {'does' if silent == 1 else 'do'} not answer"
    return f"{found} in {counted(report.workers, 'worker')}" if report.crew else found


def _stages_told(stages: Sequence[StageReport]) -> str:
    counts = {level: sum(level_of(one) == level for one in stages) for level in Level}
    if not stages:
        return "No stage is known"
    if counts[Level.WELL] == len(stages):
        return f"All {len(stages)} stages are well" if len(stages) > 1 else "The stage is well"
    told = [
        f"{counts[level]} {one if counts[level] == 1 else many}"
        for level, (one, many) in _WORDS.items()
        if counts[level]
    ]
    return f"Of {counted(len(stages), 'stage')} {', '.join(told)}"
