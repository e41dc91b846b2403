"""What is known of stages at one moment, as data: what `/status` serves and runs keep.

Its fields are a contract: others read what one version has written. What is not known is `None`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from streamapp.observability.causes import Level
from streamapp.observability.findings_report import FindingReport, finding_reports, joined_findings
from streamapp.observability.recent import Change
from streamapp.observability.stage_metrics import BreakerState, StageMetrics, StageState
from streamapp.observability.verdict import Verdict

VERSION: Literal[1] = 1
"""Version of the document; it rises when a field changes its meaning or goes."""

HELD = "held"
"""The state of a stage that runs and holds its records."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)  # fields of later versions are ignored


class ErrorReport(_Data):
    """A failure: when it was, in seconds since the epoch, its class and its fingerprint."""

    at: float
    error: str
    fingerprint: str


class KindReport(_Data):
    """Dead letters of one fingerprint; times are in seconds since the epoch."""

    fingerprint: str
    error: str
    reason: str
    count: int
    first_at: float
    last_at: float


class PartitionReport(_Data):
    """A partition that the stage reads.

    Attributes:
        topic, partition: what it is called.
        lag: records not finished; `None` while unknown.
        lag_seconds: age of the first of them.
        is_paused: whether no more records of it are taken for now.
        progress_at: when records of it last finished or lag appeared, in seconds since the epoch.
        worker: the worker that has it, where there are several.
    """

    topic: str
    partition: int
    lag: int | None
    lag_seconds: float | None
    is_paused: bool = False
    progress_at: float | None = None
    worker: str | None = None


class LatelyReport(_Data):
    """What a stage did within the last so many seconds.

    Attributes:
        seconds: how long that is.
        received: records taken from the broker, redelivered ones included.
        outcomes: attempts that ended a record.
        failed: those that ended in a dead letter, were dropped, or passed on unchanged.
        p50_seconds, p99_seconds: upper bounds of quantiles of the durations of attempts.
        lag_per_second: how fast the lag grows, in records a second.
        rebalances, commits, commit_failures: how often.
    """

    seconds: float
    received: int
    outcomes: int
    failed: int
    p50_seconds: float | None
    p99_seconds: float | None
    lag_per_second: float | None
    rebalances: int
    commits: int
    commit_failures: int


class StageReport(_Data):
    """A stage, in one worker or in several together.

    Attributes:
        pipeline, stage: what it is called.
        state: state of the stage, or `held`; of an execution, its status.
        since: since when it has this state, in seconds since the epoch.
        ok: whether it does its work; `None` if that is not known.
        reason: why, in one clause.
        level: how it does: well, attention, unknown or failing; `None` where nobody has judged.
        findings: what is wrong, the gravest first.
        source: the topics that it reads; of a fused stage, those of the first one.
        fused_to: the first stage of its segment; `None` for a first stage.
        lately: what it did within the last minute; `None` until that is known.
        kinds: its dead letters by fingerprint, of this run, the latest kinds first.
        assigned: the partitions that it reads, no more than a thousand.
        last_commit_at: when a commit last succeeded, in seconds since the epoch.
        records_in: records taken, redelivered ones included.
        outcomes: records finished, by outcome.
        dead_letters: dead letters, by reason.
        retries, timeouts: attempts after the first, and attempts that took too long.
        finished_per_second: records a second that were finished and acknowledged, lately.
        attempts: attempts that were measured.
        attempt_seconds: how long these took together.
        p99_seconds: upper bound of the 99th percentile of their durations.
        in_flight: records taken and not finished.
        partitions: assigned partitions.
        lag: records between the frontier and the end of the topics.
        breaker: what the breaker lets through.
        held_since, held_reason, next_probe_at: since when records are held, why, and the next try.
        left_out: members of pools whose breaker is open.
        errors: the latest failures, the last one last.
    """

    pipeline: str
    stage: str
    state: str
    since: float | None = None
    ok: bool | None = None
    reason: str = ""
    records_in: int = 0
    outcomes: Mapping[str, int] = Field(default_factory=dict)
    dead_letters: Mapping[str, int] = Field(default_factory=dict)
    retries: int = 0
    timeouts: int | None = None
    finished_per_second: float | None = None
    attempts: int = 0
    attempt_seconds: float = 0.0
    p99_seconds: float | None = None
    in_flight: int | None = None
    partitions: int | None = None
    lag: int | None = None
    breaker: str | None = None
    held_since: float | None = None
    held_reason: str | None = None
    next_probe_at: float | None = None
    left_out: tuple[str, ...] = ()
    errors: tuple[ErrorReport, ...] = ()
    level: str | None = None
    findings: tuple[FindingReport, ...] = ()
    source: str = ""
    fused_to: str | None = None
    lately: LatelyReport | None = None
    kinds: tuple[KindReport, ...] = ()
    assigned: tuple[PartitionReport, ...] = ()
    last_commit_at: float | None = None

    @property
    def mean_seconds(self) -> float | None:
        """Mean duration of an attempt."""
        return self.attempt_seconds / self.attempts if self.attempts else None

    @property
    def trouble(self) -> str | None:
        """Why it does not do its work, or why that is not known; `None` if it does."""
        return (self.reason if self.ok is not True else None) or self.held_reason

    @property
    def finished(self) -> int:
        """Records finished, in whatever way."""
        return sum(self.outcomes.values())


class StatusReport(_Data):
    """What `/status` serves.

    Attributes:
        version: of this document.
        at: when it was made, in seconds since the epoch.
        workers: how many workers are in it.
        silent_workers: how many others did not answer.
        findings: what is wrong with the workers, the gravest first.
        stages: the stages.
        chains: the agents of assembled pipelines with their scores, and who has replaced whom.
    """

    version: Literal[1] = VERSION
    at: float
    workers: int = 1
    silent_workers: int = 0
    findings: tuple[FindingReport, ...] = ()
    stages: tuple[StageReport, ...] = ()
    chains: tuple[dict[str, Any], ...] = ()

    def of_worker(self, worker: str) -> "StatusReport":
        """The same, with the name of the worker at each of its partitions."""
        stages = tuple(
            one.model_copy(
                update={
                    "assigned": tuple(
                        own.model_copy(update={"worker": worker}) for own in one.assigned
                    )
                }
            )
            for one in self.stages
        )
        return self.model_copy(update={"stages": stages})


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
        lately=_lately(metrics.recent.change(metrics, now)),
        kinds=tuple(
            KindReport.model_validate(kind, from_attributes=True)
            for kind in metrics.letter_kinds.list()
        ),
        assigned=_assigned(metrics, wall, epoch),
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


def _assigned(
    metrics: StageMetrics, wall: float, epoch: Callable[[float | None], float | None]
) -> tuple[PartitionReport, ...]:
    some = sorted(metrics.partitions.items())[:_MOST_PARTITIONS]
    return tuple(
        PartitionReport(
            topic=name.topic,
            partition=name.partition,
            lag=own.lag_records,
            lag_seconds=own.lag_seconds(wall),
            is_paused=own.blocked,
            progress_at=epoch(own.last_progress_at),
        )
        for name, own in some
    )


_MOST_PARTITIONS = 1000
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
    findings = joined_findings(one.findings for one in own)
    worst = min(own, key=lambda one: _rank(one.state, _WORST_FIRST))
    troubled = sorted((one for one in own if one.ok is not True), key=lambda one: one.ok is None)
    told = next(iter(troubled), worst)
    reading = [one.lag for one in own if one.partitions]
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
        lately=_joined_lately([one.lately for one in own]),
        kinds=_joined_kinds(one.kinds for one in own),
        assigned=tuple(one for report in own for one in report.assigned)[:_MOST_PARTITIONS],
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
        lag=_sum(reading),
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
        changes = {"count": count, "first_at": first_at, "last_at": last_at}
        found[one.fingerprint] = known.model_copy(update=changes)
    latest_first = sorted(found.values(), key=lambda one: one.last_at, reverse=True)
    return tuple(latest_first[:_MOST_KINDS])


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
