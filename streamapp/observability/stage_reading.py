"""Reads the counters of a stage into a report."""

from collections.abc import Callable, Iterator

from streamapp.observability.figures_report import (
    ErrorReport,
    KindReport,
    LatelyReport,
    MemberReport,
    OccurrenceReport,
    OpenLettersReport,
    PartitionReport,
    PartReport,
)
from streamapp.observability.findings_report import finding_reports
from streamapp.observability.histogram import Histogram
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.recent import Change
from streamapp.observability.stage_metrics import BreakerState, StageMetrics
from streamapp.observability.stage_report import HELD, StageReport
from streamapp.observability.verdict import Verdict

MOST_PARTITIONS = 1000
"""Of more partitions of a stage, the others are not told one by one."""

WAITS = "waits"
"""Why no records of a partition of a retry topic are taken: they are not due."""


def report_of(
    metrics: StageMetrics,
    verdict: Verdict,
    now: float,
    wall: float,
    rate: float | None,
) -> StageReport:
    """What is known of a stage of this process.

    Args:
        metrics: its counters.
        verdict: how it does, and why.
        now: monotonic seconds of the clock that the counters were written with.
        wall: the same moment in seconds since the epoch.
        rate: records finished a second; `None` if not measured.
    """

    def epoch(monotonic: float | None) -> float | None:
        return None if monotonic is None else monotonic - now + wall

    durations, is_held = metrics.attempt_duration, metrics.held_since is not None
    return StageReport(
        pipeline=metrics.pipeline,
        stage=metrics.stage,
        state=HELD if is_held else metrics.state.value,
        since=epoch(metrics.held_since if is_held else metrics.state_since),
        ok=verdict.works,
        reason=verdict.reason,
        level=verdict.level.value,
        findings=finding_reports(metrics, verdict, epoch),
        source=metrics.source,
        fused_to=metrics.fused_to,
        lag_seconds=_lag_seconds(metrics, wall),
        waiting=sum(p.lag_records or 0 for p in metrics.partitions.values() if p.is_waiting(now)),
        waits_for=metrics.waits_for,
        in_flight_bytes=metrics.in_flight_bytes,
        most_in_flight=metrics.max_in_flight_records or None,
        running_attempts=metrics.busy_lanes,
        most_attempts=metrics.attempts_at_once,
        mean_batch_records=_mean(metrics.batch_records),
        written=dict(metrics.records_out),
        members=tuple(_members(metrics, now)),
        parts=tuple(_parts(metrics)),
        occurrences=tuple(
            OccurrenceReport(
                at=one.at - now + wall, kind=one.kind.value, told=one.told, times=one.times
            )
            for one in metrics.occurrences.list()
        ),
        lately=_lately(metrics.recent.change(metrics, now)),
        kinds=tuple(_kinds(metrics)),
        open_letters=_open_letters(metrics, epoch),
        assigned=_assigned(metrics, now, wall, epoch),
        last_commit_at=epoch(metrics.last_commit_at),
        records_in=metrics.records_in,
        outcomes={one.value: count for one, count in metrics.outcomes.items()},
        dead_letters={one.value: n for one, n in metrics.dead_letters.items() if n},
        retries=metrics.retries,
        timeouts=metrics.timeouts,
        finished_per_second=rate,
        attempts=sum(durations.counts),
        attempt_seconds=durations.total * durations.unit_seconds,
        p99_seconds=durations.quantile_seconds(0.99),
        in_flight=metrics.in_flight_records,
        partitions=len(metrics.partitions),
        lag=metrics.lag_records,
        breaker=metrics.breaker_state.value,
        held_since=epoch(metrics.held_since),
        held_reason=metrics.held_reason if is_held else None,
        next_probe_at=epoch(metrics.next_probe_at) if is_held else None,
        left_out=tuple(
            one.name
            for read in metrics.pools.values()
            for one in read(now)
            if one.breaker is BreakerState.OPEN
        ),
        errors=tuple(
            ErrorReport(at=one.at, error=one.error, fingerprint=one.fingerprint)
            for one in metrics.last_errors.list()
        ),
    )


def _lately(change: Change | None) -> LatelyReport | None:
    return None if change is None else LatelyReport.model_validate(change, from_attributes=True)


def _kinds(metrics: StageMetrics) -> Iterator[KindReport]:
    kept = metrics.letter_retention_seconds
    for one in metrics.letter_kinds.list():
        is_known = one.oldest_at is not None and kept is not None
        yield KindReport(
            fingerprint=one.fingerprint,
            error=one.error,
            reason=one.reason,
            count=one.count,
            first_at=one.first_at,
            last_at=one.last_at,
            expires_at=(one.oldest_at or 0.0) + (kept or 0.0) if is_known else None,
        )


def _open_letters(
    metrics: StageMetrics, epoch: Callable[[float | None], float | None]
) -> OpenLettersReport | None:
    found = metrics.open_letters
    if found is None:
        return None
    return OpenLettersReport(
        topic=found.topic,
        count=found.count,
        oldest_at=epoch(found.oldest_at),
        expires_at=epoch(found.expires_at),
    )


def _assigned(
    metrics: StageMetrics, now: float, wall: float, epoch: Callable[[float | None], float | None]
) -> tuple[PartitionReport, ...]:
    some = sorted(metrics.partitions.items())[:MOST_PARTITIONS]
    return tuple(
        PartitionReport(
            topic=name.topic,
            partition=name.partition,
            lag=own.lag_records,
            lag_seconds=own.lag_seconds(wall),
            is_paused=own.blocked,
            progress_at=epoch(own.last_progress_at),
            pause=_pause(metrics, own, now),
            committed_offset=own.committed_offset,
            committed_at=epoch(own.committed_at),
        )
        for name, own in some
    )


def _pause(metrics: StageMetrics, own: PartitionMetrics, now: float) -> str | None:
    if own.pause is not None:
        return own.pause.value
    if metrics.held_since is not None:
        return HELD
    return WAITS if own.is_waiting(now) else None


def _lag_seconds(metrics: StageMetrics, wall: float) -> float | None:
    """Age of the oldest record; `None` while that of a partition is not known."""
    ages = [own.lag_seconds(wall) for own in metrics.partitions.values()]
    known = [one for one in ages if one is not None]
    return max(known) if known and len(known) == len(ages) else None


def _mean(histogram: Histogram | None) -> float | None:
    calls = 0 if histogram is None else sum(histogram.counts)
    return histogram.total / calls if histogram is not None and calls else None


def _members(metrics: StageMetrics, now: float) -> Iterator[MemberReport]:
    for pool, read in metrics.pools.items():
        for one in read(now):
            yield MemberReport(
                pool=pool,
                member=one.name,
                breaker=one.breaker.value,
                active=one.active,
                capacity=one.capacity,
                calls=one.calls,
                failures=one.failures,
            )


def _parts(metrics: StageMetrics) -> Iterator[PartReport]:
    for name, one in metrics.parts.items():
        yield PartReport(part=name, calls=one.calls, failures=one.failures, seconds=one.seconds)
