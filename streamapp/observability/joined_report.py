"""Joins the reports of several workers into one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from streamapp.observability.causes import Cause, Level
from streamapp.observability.figures_report import (
    KindReport,
    LatelyReport,
    OccurrenceReport,
    PartReport,
)
from streamapp.observability.findings import MOST_FAILED, failed_words
from streamapp.observability.findings_report import FindingReport, joined_findings
from streamapp.observability.stage_metrics import BreakerState, StageState
from streamapp.observability.stage_reading import MOST_PARTITIONS
from streamapp.observability.stage_report import HELD, StageReport, StatusReport

_MOST_KINDS = 32
_WORST_LEVEL_FIRST = tuple(Level)
_WORST_FIRST = (
    StageState.FAILED,
    HELD,
    StageState.DRAINING,
    StageState.STARTING,
    StageState.RUNNING,
    StageState.STOPPED,
)
_WORST_BREAKER_FIRST = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)
_MOST_ERRORS = 5

MOST_OCCURRENCES = 40
"""Of several workers; of one there are fewer."""


def joined(reports: Iterable[StatusReport], *, silent_workers: int = 0) -> StatusReport:
    """Several workers seen as one: counts added up, and of states the worst.

    Args:
        reports: what workers say; one may be of several.
        silent_workers: how many more there are that do not answer: how their parts of the stages
            are is not known.
    """
    given = list(reports)
    by_stage: dict[tuple[str, str], list[StageReport]] = {}
    for report in given:
        for one in report.stages:
            by_stage.setdefault((one.pipeline, one.stage), []).append(one)
    silent_workers += sum(one.silent_workers for one in given)
    return StatusReport(
        at=max((one.at for one in given), default=0.0),
        workers=sum(one.workers for one in given),
        silent_workers=silent_workers,
        findings=joined_findings(one.findings for one in given),
        stages=tuple(_with_silent(_joined_stage(own), silent_workers) for own in by_stage.values()),
        pipelines=tuple({own.pipeline: own for one in given for own in one.pipelines}.values()),
        crew=tuple(own for one in given for own in one.crew),
        leaves="; ".join(dict.fromkeys(one.leaves for one in given if one.leaves)) or None,
        streamapp=next((one.streamapp for one in given if one.streamapp), None),
        chains=tuple(chain for one in given for chain in one.chains),
    )


def unknown(stage: StageReport, why: str) -> StageReport:
    """The stage, of which is not known whether it works unless it is known not to."""
    if stage.ok is False:
        return stage
    return stage.model_copy(update={"ok": None, "reason": why, "level": Level.UNKNOWN.value})


def _with_silent(stage: StageReport, workers: int) -> StageReport:
    if not workers:
        return stage
    many = "1 worker does" if workers == 1 else f"{workers} workers do"
    return unknown(stage, f"{many} not answer")


def _joined_stage(own: Sequence[StageReport]) -> StageReport:
    if len(own) == 1:
        return own[0]
    level = min((one.level for one in own), key=lambda one: _rank(one or "", _WORST_LEVEL_FIRST))
    lately = _joined_lately([one.lately for one in own])
    findings = tuple(
        _of_all(one, lately) for one in joined_findings(_named_findings(one) for one in own)
    )
    worst = min(own, key=lambda one: _rank(one.state, _WORST_FIRST))
    troubled = sorted((one for one in own if one.ok is not True), key=lambda one: one.ok is None)
    told = next(iter(troubled), worst)
    reading = [one for one in own if one.partitions]
    errors = sorted((error for one in own for error in one.errors), key=lambda error: error.at)
    return StageReport(
        pipeline=worst.pipeline,
        stage=worst.stage,
        state=worst.state,
        since=worst.since,
        ok=_all(one.ok for one in own),
        reason=findings[0].evidence if findings else told.reason,
        level=level,
        findings=findings,
        source=worst.source,
        fused_to=worst.fused_to,
        lately=lately,
        kinds=_joined_kinds(one.kinds for one in own),
        open_letters=next((one.open_letters for one in own if one.open_letters), None),
        assigned=tuple(one for report in own for one in report.assigned)[:MOST_PARTITIONS],
        lag_seconds=_oldest(reading),
        waiting=sum(one.waiting for one in own),
        waits_for=next((one.waits_for for one in own if one.waits_for), None),
        in_flight_bytes=_sum([one.in_flight_bytes for one in own]),
        most_in_flight=_sum([one.most_in_flight for one in own]),
        running_attempts=_sum([one.running_attempts for one in own]),
        most_attempts=_sum([one.most_attempts for one in own]),
        mean_batch_records=_extreme(max, [one.mean_batch_records for one in own]),
        written=_added(one.written for one in own),
        members=tuple(one for report in own for one in report.members),
        parts=_joined_parts(one.parts for one in own),
        occurrences=_joined_occurrences(one.occurrences for one in own),
        shares=tuple(share for one in own for share in _shares(one)),
        last_commit_at=_extreme(max, [one.last_commit_at for one in own]),
        records_in=sum(one.records_in for one in own),
        outcomes=_added(one.outcomes for one in own),
        dead_letters=_added(one.dead_letters for one in own),
        retries=sum(one.retries for one in own),
        timeouts=_sum([one.timeouts for one in own]),
        finished_per_second=_sum([one.finished_per_second for one in own]),
        attempts=sum(one.attempts for one in own),
        attempt_seconds=sum(one.attempt_seconds for one in own),
        p99_seconds=_extreme(max, [one.p99_seconds for one in own]),
        in_flight=_sum([one.in_flight for one in own]),
        partitions=_sum([one.partitions for one in own]),
        lag=_sum([one.lag for one in reading]),
        breaker=min(
            (one.breaker for one in own if one.breaker is not None),
            key=lambda one: _rank(one, _WORST_BREAKER_FIRST),
            default=None,
        ),
        held_since=_extreme(min, [one.held_since for one in own]),
        held_reason=next((one.held_reason for one in own if one.held_reason), None),
        next_probe_at=_extreme(min, [one.next_probe_at for one in own]),
        left_out=tuple(sorted({name for one in own for name in one.left_out})),
        errors=tuple(errors[-_MOST_ERRORS:]),
    )


def _named_findings(stage: StageReport) -> Iterable[FindingReport]:
    """What is wrong in one of several workers, with its name at the figures: they are its own."""
    for one in stage.findings:
        own = f"{one.evidence} (worker {stage.worker})"
        yield one if stage.worker is None else one.model_copy(update={"evidence": own})


def _of_all(finding: FindingReport, lately: LatelyReport | None) -> FindingReport:
    """The finding with the figures of all workers together, where these show it as well."""
    if finding.cause not in _SHARES_OF_FAILURES or lately is None or not lately.outcomes:
        return finding
    if lately.failed <= MOST_FAILED * lately.outcomes:
        return finding
    told = failed_words(lately.failed, lately.outcomes, lately.seconds) + finding.detail
    return finding.model_copy(update={"evidence": told})


_SHARES_OF_FAILURES = (Cause.POISON_BURST, Cause.ERROR_RATIO)


def _joined_lately(own: Sequence[LatelyReport | None]) -> LatelyReport | None:
    """Counts added up; of quantiles the largest, as they cannot be added."""
    known = [one for one in own if one is not None]
    if not known:
        return None
    return LatelyReport(
        seconds=max(one.seconds for one in known),
        received=sum(one.received for one in known),
        outcomes=sum(one.outcomes for one in known),
        failed=sum(one.failed for one in known),
        p50_seconds=_extreme(max, [one.p50_seconds for one in known]),
        p99_seconds=_extreme(max, [one.p99_seconds for one in known]),
        lag_per_second=_sum([one.lag_per_second for one in known]),
        rebalances=max(one.rebalances for one in known),
        commits=sum(one.commits for one in known),
        commit_failures=sum(one.commit_failures for one in known),
    )


def _joined_kinds(of_workers: Iterable[Sequence[KindReport]]) -> tuple[KindReport, ...]:
    found: dict[str, KindReport] = {}
    for one in (one for own in of_workers for one in own):
        known = found.get(one.fingerprint, one)
        count = one.count if known is one else known.count + one.count
        first_at, last_at = min(known.first_at, one.first_at), max(known.last_at, one.last_at)
        changes: dict[str, float | None] = {
            "count": count,
            "first_at": first_at,
            "last_at": last_at,
            "expires_at": _extreme(min, [known.expires_at, one.expires_at]),
        }
        found[one.fingerprint] = known.model_copy(update=changes)
    latest_first = sorted(found.values(), key=lambda one: one.last_at, reverse=True)
    return tuple(latest_first[:_MOST_KINDS])


def _shares(one: StageReport) -> Sequence[StageReport]:
    """What a worker says, without what stands in the joined report one by one."""
    if one.shares or one.worker is None:
        return one.shares
    lists = ("assigned", "kinds", "errors", "members", "parts", "occurrences", "findings")
    return (one.model_copy(update=dict.fromkeys(lists, ())),)


def _oldest(reading: Sequence[StageReport]) -> float | None:
    """`None` while the age is not known in one of them."""
    ages = [one.lag_seconds for one in reading]
    return None if None in ages else _extreme(max, ages)


def _joined_parts(of_workers: Iterable[Sequence[PartReport]]) -> tuple[PartReport, ...]:
    found: dict[str, PartReport] = {}
    for one in (one for own in of_workers for one in own):
        known = found.get(one.part)
        if known is not None:
            one = PartReport(  # noqa: PLW2901 - the sum takes its place
                part=one.part,
                calls=known.calls + one.calls,
                failures=known.failures + one.failures,
                seconds=known.seconds + one.seconds,
            )
        found[one.part] = one
    return tuple(found.values())


def _joined_occurrences(
    of_workers: Iterable[Sequence[OccurrenceReport]],
) -> tuple[OccurrenceReport, ...]:
    found = sorted((one for own in of_workers for one in own), key=lambda one: one.at)
    return tuple(found[-MOST_OCCURRENCES:])


def _rank(value: str, worst_first: Sequence[str]) -> int:
    return worst_first.index(value) if value in worst_first else 0


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    found = list(verdicts)
    if False in found:
        return False
    return None if None in found else True


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            found[name] = found.get(name, 0) + count
    return found


def _sum(values: Sequence[Any]) -> Any:
    """Their sum; `None` if there are none, or one is not known."""
    return None if not values or None in values else sum(values)


def _extreme(of: Callable[..., float], values: Sequence[float | None]) -> float | None:
    """The extreme of those that are known; `None` without any."""
    known = [one for one in values if one is not None]
    return of(known) if known else None
