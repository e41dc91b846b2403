"""What is wrong, as data: for `/status`, and for whoever joins several workers to one service."""

from collections.abc import Callable, Iterable

from pydantic import BaseModel, ConfigDict

from streamapp.observability.causes import TABLE, Cause, Level, effects_among
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.observability.verdict import Verdict, next_command


class FindingReport(BaseModel):
    """Something that is wrong.

    Attributes:
        cause: what; a name of docs/reference/causes.md.
        level: how grave it is.
        evidence: the figures that show it, in one clause.
        since: since when, in seconds since the epoch; `None` if that is not known.
        advice: what to do.
        command: the command that helps next.
        detail: what ends the evidence and is no figure of one worker alone.
    """

    model_config = ConfigDict(frozen=True)

    cause: str
    level: str
    evidence: str
    since: float | None = None
    advice: str = ""
    command: str = ""
    detail: str = ""


def finding_report(
    cause: Cause,
    evidence: str,
    command: str,
    *,
    level: Level | None = None,
    since: float | None = None,
    detail: str = "",
) -> FindingReport:
    """What is wrong, with what the table of causes says of it.

    Args:
        cause: what.
        evidence: the figures that show it.
        command: the command that helps next.
        level: how grave it is, by default what the table says.
        since: since when, in seconds since the epoch; `None` if that is not known.
        detail: what ends the evidence and is no figure of one worker alone.
    """
    entry = TABLE[cause]
    return FindingReport(
        cause=cause.value,
        level=(level or entry.level).value,
        evidence=evidence,
        since=since,
        advice=entry.advice,
        command=command,
        detail=detail,
    )


def finding_reports(
    metrics: StageMetrics, verdict: Verdict, epoch: Callable[[float | None], float | None]
) -> tuple[FindingReport, ...]:
    """The findings of a stage.

    Args:
        metrics: its counters, for its names.
        verdict: has the findings.
        epoch: turns monotonic seconds into seconds since the epoch.
    """
    return tuple(
        finding_report(
            one.cause,
            one.evidence,
            next_command(one.cause, metrics.pipeline, metrics.stage),
            level=one.level,
            since=epoch(one.since),
            detail=one.detail,
        )
        for one in verdict.findings
    )


def joined_findings(of_workers: Iterable[Iterable[FindingReport]]) -> tuple[FindingReport, ...]:
    """The findings of several workers as those of one: each cause once, the gravest first.

    Effects come after what explains them.

    Of several with one cause, the gravest stands for all, and of these the one that came first.
    """
    found: dict[str, FindingReport] = {}
    for one in (one for own in of_workers for one in own):
        known = found.get(one.cause)
        if known is None or _rank(one) < _rank(known):
            found[one.cause] = one
    effects = effects_among(found)
    return tuple(sorted(found.values(), key=lambda one: (one.cause in effects, _rank(one))))


_LEVELS = tuple(level.value for level in Level)
_CAUSES = tuple(cause.value for cause in Cause)


def _rank(one: FindingReport) -> tuple[int, int, float]:
    """Less for what is graver; names of later versions come last."""
    level = _LEVELS.index(one.level) if one.level in _LEVELS else len(_LEVELS)
    cause = _CAUSES.index(one.cause) if one.cause in _CAUSES else len(_CAUSES)
    return level, cause, float("inf") if one.since is None else one.since
