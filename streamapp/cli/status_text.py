"""The state of pipelines for people: a headline, a row for each stage, what is to be known."""

from collections.abc import Iterator, Mapping
from typing import Any

from streamapp.cli.figures import at_most, duration
from streamapp.cli.finding_text import finding_lines
from streamapp.cli.pipeline_state import PipelineState
from streamapp.observability.readable import age, counted
from streamapp.observability.stage_report import StageReport

HEADINGS = (
    "stage",
    "state",
    "since",
    "in",
    "outcomes",
    "retries",
    "rec/s",
    "mean",
    "p99",
    "in flight",
    "lag",
    "breaker",
)
LEAST = ("retries", "p99", "mean", "breaker", "in flight", "rec/s", "since")
"""Headings of the columns that matter least, in the order in which a narrow terminal hides them."""

_UNKNOWN = "-"


def headline(state: PipelineState, now: float) -> str:
    """One sentence on a pipeline."""
    report = state.report
    words = [f"{state.pipeline}: {state.status}"]
    if state.error is not None:
        words.append(f"with {state.error}")
    if state.ended_at is not None and report is None:
        words.append(f"{age(now - state.ended_at)} ago, before its work began")
    elif state.ended_at is not None:
        words.append(f"{age(now - state.ended_at)} ago, after {_ran(state)}")
    elif state.started_at is not None:
        words.append(f"for {age(now - state.started_at)}")
    if report is not None and report.workers + report.silent_workers > 1:
        words.append(f"in {counted(report.workers, 'worker')}")
    if report is not None and report.silent_workers:
        words.append(f"and {counted(report.silent_workers, 'worker')} that did not answer")
    if report is not None and state.ended_at is None and not state.is_live:
        words.append(f"as it was {age(now - report.at)} ago")
    return " ".join(words)


def stage_row(stage: StageReport, now: float) -> tuple[str, ...]:
    """The cells of a stage; what is not known is no number."""
    outcomes = ", ".join(f"{count:,} {name}" for name, count in stage.outcomes.items() if count)
    return (
        stage.stage,
        stage.state,
        _UNKNOWN if stage.since is None else age(now - stage.since),
        f"{stage.records_in:,}",
        outcomes or "none",
        f"{stage.retries:,}",
        _number(stage.finished_per_second),
        _UNKNOWN if stage.mean_seconds is None else duration(stage.mean_seconds),
        at_most(stage.p99_seconds),
        _number(stage.in_flight),
        _number(stage.lag),
        stage.breaker or _UNKNOWN,
    )


def notes(state: PipelineState, now: float) -> Iterator[str]:
    """What else is to be known: who does the work, what is wrong, the latest failures."""
    report = state.report
    if (start := state.failed_start) is not None:
        cause = f" with {start.error}" if start.error is not None else ""
        ago = age(now - start.ended_at)
        yield f"a later start: {start.status}{cause} {ago} ago, before its work began"
    if report is None:
        return
    yield from finding_lines("workers", report.findings, now)
    for chain in report.chains:
        yield from _chain_notes(chain, now)
    for stage in report.stages:
        if stage.findings and state.ended_at is None:
            yield from finding_lines(stage.stage, stage.findings, now)
        elif stage.trouble is not None:
            yield f"{stage.stage}: {stage.trouble}"
        if stage.left_out:
            yield f"{stage.stage}: left out, since their breakers are open: {_list(stage.left_out)}"
        for error in stage.errors:
            cause = f"{error.error} ({error.fingerprint})"
            yield f"{stage.stage}: failed with {cause} {age(now - error.at)} ago"


def _chain_notes(chain: Mapping[str, Any], now: float) -> Iterator[str]:
    steps = []
    for step in chain.get("steps", ()):
        scores = [f"{one.get('agent_id')} {one.get('value', 0.0):.3f}" for one in step["scores"]]
        steps.append(f"{step['stage']}: {_list(scores)}")
    if steps:
        yield f"agents with their scores: {'; '.join(steps)}"
    for one in chain.get("replacements", ()):
        yield f"{one['stage']}: {one['told']}, {age(now - one['at'])} ago"


def _ran(state: PipelineState) -> str:
    if state.ended_at is None or state.started_at is None:
        return _UNKNOWN
    return age(state.ended_at - state.started_at)


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:,.0f}"


def _list(names: Any) -> str:
    return ", ".join(names)
