"""What is wrong, for the top of the page: each fault once, with all stages that have it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from streamapp.observability.causes import TABLE, Cause, Level, effects_among
from streamapp.observability.findings_report import FindingReport
from streamapp.observability.stage_report import StageReport, StatusReport

_LEVELS = tuple(level.value for level in Level)
_CAUSES = tuple(cause.value for cause in Cause)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong.

    Attributes:
        level: how grave it is.
        cause: what, in words.
        meaning: what that means, as a clause; empty for causes of later versions.
        evidence: the figures that show it.
        since: seconds since the epoch; `None` if that is not known.
        advice: what to do.
        command: the command that helps next.
        stages: the stages that have it; none if it is the workers'.
        is_effect: whether another trouble of the stage, or of its workers, explains it.
    """

    level: str
    cause: str
    meaning: str
    evidence: str
    since: float | None
    advice: str
    command: str
    stages: Sequence[StageReport] = ()
    is_effect: bool = False

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Less for what nothing else explains, for what is graver, and in the order of causes."""
        name = self.cause.replace(" ", "_")
        level = _LEVELS.index(self.level) if self.level in _LEVELS else 0
        place = _CAUSES.index(name) if name in _CAUSES else len(_CAUSES)
        return self.is_effect, level, place


def level_of(stage: StageReport) -> str:
    """How a stage does; of one that nobody has judged, what is known."""
    if stage.level is not None:
        return stage.level
    if stage.ok is None:
        return Level.UNKNOWN.value
    return Level.WELL.value if stage.ok else Level.FAILING.value


def troubles_of(report: StatusReport) -> Sequence[Trouble]:
    """All that is wrong, the gravest first."""
    found: dict[tuple[str, str, str, bool], Trouble] = {}
    for one in _troubles(report):
        pipeline = one.stages[0].pipeline if one.stages else ""
        key = (pipeline, one.cause, one.evidence, one.is_effect)
        known = found.get(key)
        found[key] = one if known is None else replace(known, stages=(*known.stages, *one.stages))
    return sorted(found.values(), key=lambda one: one.rank)


def _troubles(report: StatusReport) -> Iterator[Trouble]:
    for finding in report.findings:
        yield _trouble(finding, ())
    for stage in report.stages:
        effects = effects_among(one.cause for one in stage.findings)
        for finding in stage.findings:
            trouble = _trouble(finding, (stage,))
            yield replace(trouble, is_effect=finding.cause in effects)
        if not stage.findings and level_of(stage) != Level.WELL:
            yield Trouble(
                level=level_of(stage),
                cause="not known" if stage.ok is None else "not well",
                meaning="",
                evidence=stage.reason,
                since=None,
                advice="",
                command="",
                stages=(stage,),
                is_effect=bool(report.findings),  # its workers have gone, or do not answer
            )


def _trouble(finding: FindingReport, stages: Sequence[StageReport]) -> Trouble:
    known = finding.cause in _CAUSES
    return Trouble(
        level=finding.level,
        cause=finding.cause.replace("_", " "),
        meaning=TABLE[Cause(finding.cause)].meaning if known else "",
        evidence=finding.evidence,
        since=finding.since,
        advice=finding.advice,
        command=finding.command,
        stages=stages,
    )
