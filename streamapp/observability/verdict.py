"""The verdict on a stage: how it does, why, since when, and what to do. One place for all readers.

The page, `/status`, health, the metrics and the commands show what stands here, so they agree.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from streamapp.observability.causes import TABLE, Cause, Level, effects_among
from streamapp.observability.findings import Finding, findings_of
from streamapp.observability.health import stage_health
from streamapp.observability.stage_metrics import StageMetrics

_WORST_FIRST = tuple(Level)
_TABLE_ORDER = tuple(Cause)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a stage does.

    Attributes:
        level: the worst of its findings; well without any.
        findings: what is wrong, the gravest first, and effects after what explains them.
        reason: the evidence of the first one; of a stage that does well, what it does.
    """

    level: Level
    findings: Sequence[Finding]
    reason: str

    @property
    def works(self) -> bool | None:
        """Whether the stage does its work; `None` if that is not known."""
        return None if self.level is Level.UNKNOWN else self.level is not Level.FAILING

    @property
    def cause(self) -> Cause | None:
        """The gravest cause; `None` if the stage does well."""
        return self.findings[0].cause if self.findings else None

    @property
    def since(self) -> float | None:
        """Monotonic seconds since when that is known; `None` without a cause, or if unknown."""
        return self.findings[0].since if self.findings else None


def verdict_of(metrics: StageMetrics, now: float, stall_after_seconds: float) -> Verdict:
    """How a stage does.

    Args:
        metrics: its counters.
        now: monotonic seconds of the clock that they were written with.
        stall_after_seconds: how long a stage may go without progress.
    """
    dated = _dated(metrics, findings_of(metrics, now, stall_after_seconds))
    found = _causes_first(list(dated))
    if not found:
        health = stage_health(metrics, now, stall_after_seconds)
        level = Level.WELL if health.works else Level.UNKNOWN  # for a few seconds, it may be so
        return Verdict(level, (), health.reason)
    level = min((one.level for one in found), key=_WORST_FIRST.index)
    return Verdict(level, tuple(found), found[0].evidence)


def notice_findings(
    metrics: StageMetrics, now: float, stall_after_seconds: float | None = None
) -> None:
    """Remember what is wrong now, so that a verdict can say since when; to be called often.

    Args: those of `verdict_of`.
    """
    stall = metrics.stall_after_seconds if stall_after_seconds is None else stall_after_seconds
    found = findings_of(metrics, now, stall)
    metrics.noticed.update({one.cause for one in found}, now)


def _dated(metrics: StageMetrics, found: Iterable[Finding]) -> Iterator[Finding]:
    """The findings, with the time of the first look at those that have none of their own."""
    for one in found:
        since = metrics.noticed.since(one.cause) if one.since is None else one.since
        yield one if since is None else replace(one, since=since)


_RESTART_HELPS = {Cause.STALLED, Cause.PARTITION_STARVED, Cause.STAGE_FAILED}
_RESTART_IS_IN_VAIN = {
    Cause.TOPIC_MISSING,
    Cause.BROKER_UNREACHABLE,
    Cause.NO_ASSIGNMENT,
    Cause.LAG_UNKNOWN,
    Cause.ACKNOWLEDGEMENTS_MISSING,
    Cause.DEPENDENCY_DOWN,
    Cause.MOST_RECORDS_FAIL,
    Cause.DEAD_LETTER_BUDGET,
    Cause.BATCHES_REFUSED,
}


def is_live(verdict: Verdict, metrics: StageMetrics) -> bool:
    """Whether the process can still do the work of a stage, so that a restart would not help.

    A stage that holds its records, lacks a topic or does not reach Kafka is no reason to restart
    the others; nor is an attempt that takes minutes, as its deadline ends it: after a restart it
    would begin anew.
    """
    causes = {one.cause for one in verdict.findings}
    if metrics.is_contained or causes & _RESTART_IS_IN_VAIN:
        return True
    if Cause.STAGE_FAILED not in causes and metrics.busy_lanes > metrics.stuck_attempts:
        return True
    return not causes & _RESTART_HELPS


def next_command(cause: Cause, pipeline: str, stage: str) -> str:
    """The command that helps next with a cause, ready to be typed."""
    return TABLE[cause].command.format(pipeline=pipeline, stage=stage)


def _causes_first(found: Sequence[Finding]) -> Sequence[Finding]:
    """The gravest first, but effects after all that is not explained by another one."""
    effects = effects_among(one.cause for one in found)

    def rank(one: Finding) -> tuple[bool, int, int]:
        level, cause = _WORST_FIRST.index(one.level), _TABLE_ORDER.index(one.cause)
        return one.cause in effects, level, cause

    return sorted(found, key=rank)
