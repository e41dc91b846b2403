"""One alert for each cause that a stage, a supervisor of a worker, or an exporter tells of.

The worker judges its stage, with windows and figures that Prometheus does not have. So the alert,
the page and `streamapp lag --why` say the same.
"""

from collections.abc import Iterator

from streamapp.observability.alerts.cause_notes import NOTES
from streamapp.observability.alerts.rule import (
    METRIC_NAMES,
    PAGE,
    STAGE,
    TICKET,
    AlertRule,
    Runbook,
    is_true,
    lately_true,
    unless,
)
from streamapp.observability.causes import EXPLAINED_BY, TABLE, Cause, Level

FOR_SECONDS = 30
"""Causes are certain by themselves, of windows of their own; it outlasts one scrape by chance."""

EVENT_SECONDS = 600
"""What has happened and is over is told for so long."""

_NAMES = {
    Cause.DEPENDENCY_DOWN: "StageHeld",
    Cause.STALLED: "StageStalled",
    Cause.WORKER_SILENT: "WorkerFrozen",
}
_ELSEWHERE = {
    Cause.WORKER_GONE,  # WorkerGone, which also sees processes without a supervisor
}
_EVENTS = {Cause.POSITIONS_MOVED, Cause.POSITIONS_LOST}


def cause_rules() -> Iterator[AlertRule]:
    """The rules, in the order of the table of causes."""
    for cause, entry in TABLE.items():
        if cause in _ELSEWHERE:
            continue
        grave = entry.level in (Level.FAILING, Level.UNKNOWN)
        is_event = cause in _EVENTS
        yield AlertRule(
            rule_name(cause),
            _expression(cause),
            0 if is_event else FOR_SECONDS,
            PAGE if grave else TICKET,
            _summary(cause),
            _runbook(cause),
            keep_seconds=EVENT_SECONDS if is_event else 0,
        )


def rule_name(cause: Cause) -> str:
    """The name of the rule of a cause."""
    words = "".join(word.capitalize() for word in cause.split("_"))
    return f"Streamapp{_NAMES.get(cause, words)}"


def _expression(cause: Cause) -> str:
    if cause is Cause.WORKER_SILENT:
        of_worker = "max by (job, instance, worker)"
        return f'{of_worker} ({METRIC_NAMES["worker_cause"]}{{cause="{cause}"}})'
    if cause is Cause.LOOP_BLOCKED:
        return lately_true(cause)  # a worker that is blocked answers no scrape
    explained_by = EXPLAINED_BY.get(cause)
    return unless(is_true(cause), explained_by) if explained_by else is_true(cause)


def _summary(cause: Cause) -> str:
    if cause is Cause.WORKER_SILENT:
        return "worker {{ $labels.worker }} at {{ $labels.instance }} does not answer"
    return f"{STAGE}: {TABLE[cause].meaning}"


def _runbook(cause: Cause) -> Runbook:
    entry, notes = TABLE[cause], NOTES[cause]
    # Commands that look at something else, such as dead letters or topics, do not show causes.
    does = entry.command.startswith(("streamapp status", "streamapp lag"))
    shows = entry.command if does else "streamapp status {pipeline} --watch"
    command = shows.format(pipeline="PIPELINE", stage="STAGE")
    meaning = entry.meaning[0].upper() + entry.meaning[1:]
    return Runbook(
        f"{meaning}. {notes.means}".strip(),
        (f"`{command}` shows the cause `{cause}` with its figures.", *notes.see),
        (entry.advice, *notes.do),
        notes.ends,
    )
