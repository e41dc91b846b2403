"""What a stage did lately: its counters as they were every few seconds, and what has changed since.

Counters since the start say little about now. A window over the last minute does, and costs nothing
for each record: a sample of the counters is taken every five seconds.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamapp.clock import Clock
from streamapp.observability.histogram import quantile_seconds

if TYPE_CHECKING:
    from streamapp.observability.stage_metrics import StageMetrics

SAMPLE_SECONDS = 5.0
"""Time between two samples."""

KEPT_SECONDS = 300.0
"""How long samples are kept, which bounds the windows."""

WINDOW_SECONDS = 60.0
"""The window of rates, ratios and quantiles that people see."""

SAMPLED_AT_ONCE = 50
"""After so many stages the event loop runs other tasks."""

LEAST_SECONDS = 2.0
"""Over less time nothing is computed: it would say more about chance than about the stage."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters of a stage at one moment.

    Attributes:
        at: monotonic seconds.
        counts: counters that only rise, in the order of `_COUNTERS`.
        durations: attempts by bucket of their duration.
        duration_units: how long they took together, in units of the histogram.
        in_flight: records taken and not finished.
        busy_lanes: attempts that ran at that moment.
        lag: records not finished; `None` while unknown.
    """

    at: float
    counts: tuple[int, ...]
    durations: tuple[int, ...]
    duration_units: int
    in_flight: int
    busy_lanes: int
    lag: int | None


_COUNTERS = (
    "records_in",
    "acknowledged_records",
    "processed",
    "filtered",
    "skipped",
    "dropped",
    "dead_lettered",
    "retried_later",
    "blamed_attempts",
    "commits",
    "commit_failures",
    "rebalances",
    "producer_replacements",
    "position_resets",
    "assignments_given_up",
)


@dataclass(frozen=True, slots=True)
class Change:
    """What has happened between a sample and now.

    Attributes:
        seconds: how long that is.
        received: records taken from the broker, redelivered ones included.
        acknowledged: records finished, whose outputs and dead letters Kafka has.
        outcomes: attempts that ended a record, whatever became of their outputs.
        failed: those that ended in a dead letter, were dropped, or passed on unchanged.
        dead_lettered: those that ended in a dead letter.
        retried_later: those that failed and wait in a retry topic now.
        blamed: attempts that failed, and not through the record's fault.
        commits, commit_failures, rebalances, producer_replacements, position_resets: how often.
        given_up: assignments given up because commits kept failing.
        attempts: attempts that were measured.
        attempt_seconds: how long they took together.
        p50_seconds, p99_seconds: upper bounds of quantiles of their durations; `None` without any.
        mean_in_flight, mean_busy_lanes: means over the samples.
        lag_before, lag: records not finished, then and now; `None` while unknown.
    """

    seconds: float
    received: int
    acknowledged: int
    outcomes: int
    failed: int
    dead_lettered: int
    retried_later: int
    blamed: int
    commits: int
    commit_failures: int
    rebalances: int
    producer_replacements: int
    position_resets: int
    given_up: int
    attempts: int
    attempt_seconds: float
    p50_seconds: float | None
    p99_seconds: float | None
    mean_in_flight: float
    mean_busy_lanes: float
    lag_before: int | None
    lag: int | None

    @property
    def failed_ratio(self) -> float:
        """Share of records that failed for good; 0 without any."""
        return self.failed / self.outcomes if self.outcomes else 0.0

    @property
    def lag_per_second(self) -> float | None:
        """How fast the lag grows, in records a second; `None` while it is not known."""
        if self.lag is None or self.lag_before is None:
            return None
        return (self.lag - self.lag_before) / self.seconds


class Recent:
    """The samples of one stage."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=int(KEPT_SECONDS / SAMPLE_SECONDS) + 1)

    def sample(self, metrics: "StageMetrics", now: float) -> None:
        """Take a sample at a time in monotonic seconds; one that comes too soon is left out."""
        if not self._samples or now - self._samples[-1].at >= SAMPLE_SECONDS / 2:
            self._samples.append(_sample(metrics, now))

    def change(
        self, metrics: "StageMetrics", now: float, seconds: float = WINDOW_SECONDS
    ) -> Change | None:
        """What has happened within the last so many seconds, or since the first sample.

        Returns:
            `None` while nothing is known: there was no sample, or too little time has passed.
        """
        window = [one for one in self._samples if now - one.at <= seconds]
        if not window or now - window[0].at < LEAST_SECONDS:
            return None
        return _change(window, _sample(metrics, now), metrics.attempt_duration.unit_seconds)


def acknowledged_rates(stages: Sequence["StageMetrics"], now: float) -> list[float | None]:
    """Records a second that each stage has finished lately, and whose outputs Kafka has."""
    changes = [one.recent.change(one, now) for one in stages]
    counts = acknowledged_counts(
        stages, [None if one is None else (one.acknowledged, one.outcomes) for one in changes]
    )
    return [
        None if count is None or change is None else count / change.seconds
        for count, change in zip(counts, changes, strict=True)
    ]


def acknowledged_counts(
    stages: Sequence["StageMetrics"], changes: Sequence[tuple[int, int] | None]
) -> list[float | None]:
    """How many records each stage has finished within a time, and Kafka has their outputs.

    A stage that is fused to another ends with it: of what it has finished, as large a share counts
    as was acknowledged of that one's.

    Args:
        stages: the stages.
        changes: how many records were acknowledged, and how many attempts ended one; `None` while
            that is not known.
    """
    heads = {
        (one.pipeline, one.stage): change
        for one, change in zip(stages, changes, strict=True)
        if one.fused_to is None
    }
    counts: list[float | None] = []
    for one, change in zip(stages, changes, strict=True):
        head = change if one.fused_to is None else heads.get((one.pipeline, one.fused_to))
        if change is None or head is None:
            counts.append(None)
        elif one.fused_to is None:
            counts.append(change[0])
        else:
            acknowledged, outcomes = head
            counts.append(change[1] * min(1.0, acknowledged / outcomes) if outcomes else 0.0)
    return counts


class RecentWatch:
    """Takes the samples of all stages of a worker.

    Args:
        stages: their counters.
        clock: waits between samples.
        on_sample: is told of each, with its time in monotonic seconds.
    """

    def __init__(
        self,
        stages: Sequence["StageMetrics"],
        clock: Clock,
        on_sample: Callable[["StageMetrics", float], None],
    ) -> None:
        self._stages = stages
        self._clock = clock
        self._on_sample = on_sample

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            now = self._clock.monotonic()
            for number, metrics in enumerate(self._stages):
                metrics.recent.sample(metrics, now)
                self._on_sample(metrics, now)
                if number % SAMPLED_AT_ONCE == SAMPLED_AT_ONCE - 1:
                    await asyncio.sleep(0)
            await self._clock.sleep(SAMPLE_SECONDS)


def _sample(metrics: "StageMetrics", now: float) -> Sample:
    durations = metrics.attempt_duration
    return Sample(
        at=now,
        counts=tuple([getattr(metrics, name) for name in _COUNTERS]),
        durations=tuple(durations.counts),
        duration_units=durations.total,
        in_flight=metrics.in_flight_records,
        busy_lanes=metrics.busy_lanes,
        lag=metrics.lag_records,
    )


def _change(window: Sequence[Sample], last: Sample, unit_seconds: float) -> Change:
    first = window[0]
    count = dict(
        zip(
            _COUNTERS,
            (now - then for now, then in zip(last.counts, first.counts, strict=True)),
            strict=True,
        )
    )
    durations = [now - then for now, then in zip(last.durations, first.durations, strict=True)]
    seen = [*window, last]
    failed = count["skipped"] + count["dropped"] + count["dead_lettered"]
    return Change(
        seconds=last.at - first.at,
        received=count["records_in"],
        acknowledged=count["acknowledged_records"],
        outcomes=failed + count["processed"] + count["filtered"] + count["retried_later"],
        failed=failed,
        dead_lettered=count["dead_lettered"],
        retried_later=count["retried_later"],
        blamed=count["blamed_attempts"],
        commits=count["commits"],
        commit_failures=count["commit_failures"],
        rebalances=count["rebalances"],
        producer_replacements=count["producer_replacements"],
        position_resets=count["position_resets"],
        given_up=count["assignments_given_up"],
        attempts=sum(durations),
        attempt_seconds=(last.duration_units - first.duration_units) * unit_seconds,
        p50_seconds=quantile_seconds(durations, 0.5, unit_seconds),
        p99_seconds=quantile_seconds(durations, 0.99, unit_seconds),
        mean_in_flight=sum(one.in_flight for one in seen) / len(seen),
        mean_busy_lanes=sum(one.busy_lanes for one in seen) / len(seen),
        lag_before=first.lag,
        lag=last.lag,
    )
