"""Figures of a stage, for people to read."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamapp.clock import Clock
from streamapp.observability.recent import acknowledged_counts
from streamapp.observability.stage_metrics import DeadLetterReason, StageMetrics
from streamapp.observability.verdict import verdict_of


@dataclass(frozen=True, slots=True)
class StageFigures:
    """Figures of one stage at one moment.

    Attributes:
        stage: its name.
        state: its state; "held" while it runs and holds its records.
        records_in: records taken, redelivered ones included.
        records_out: acknowledged outputs, without dead letters and retries; `None` for a stage
            whose outputs go to no topic, because another stage is fused to it.
        finished_per_second: records finished a second since the previous call, whose outputs and
            dead letters Kafka has acknowledged.
        in_flight: records taken and not finished.
        lag: records between the frontier and the end of its topic; `None` while unknown.
        retries: attempts after the first.
        dead_letters: dead letters acknowledged.
        reasons: dead letters by reason, without reasons that did not occur.
        skipped, dropped, filtered: records finished without an output of the agent.
        p50_seconds, p99_seconds: upper bounds of an attempt's duration; `None` before the first.
        retried_later: times that a record went to a retry topic.
        pipeline: name of its pipeline.
        is_one_of_several: whether stages of other pipelines are shown as well.
        cause: what is wrong with it, if it does not do well.
    """

    stage: str
    state: str
    records_in: int
    records_out: int | None
    finished_per_second: float
    in_flight: int
    lag: int | None
    retries: int
    dead_letters: int
    reasons: tuple[tuple[DeadLetterReason, int], ...]
    skipped: int
    dropped: int
    filtered: int
    p50_seconds: float | None
    p99_seconds: float | None
    retried_later: int = 0
    pipeline: str = ""
    is_one_of_several: bool = False
    cause: str | None = None

    @property
    def state_and_cause(self) -> str:
        """Its state, and what is wrong with it."""
        return self.state if self.cause is None else f"{self.state} ({self.cause})"

    @property
    def name(self) -> str:
        """What the stage is called where it is shown."""
        return f"{self.pipeline}.{self.stage}" if self.is_one_of_several else self.stage


class Figures:
    """Reads the counters of stages and computes rates.

    Args:
        stages: the counters, in the order in which they are shown.
        clock: measures the time between two calls.
    """

    def __init__(self, stages: Sequence[StageMetrics], clock: Clock) -> None:
        self._stages = stages
        self._clock = clock
        self._began_at = clock.monotonic()
        self._read_at = self._began_at
        self._finished = [(0, 0)] * len(stages)
        self._are_several = len({one.pipeline for one in stages}) > 1

    def read(self) -> list[StageFigures]:
        """Figures of each stage now, with rates since the previous call."""
        now = self._clock.monotonic()
        seconds, self._read_at = now - self._read_at, now
        before = self._finished
        self._finished = [_finished(metrics) for metrics in self._stages]
        changes = [
            (after[0] - earlier[0], after[1] - earlier[1])
            for earlier, after in zip(before, self._finished, strict=True)
        ]
        return self._with_rates(changes, seconds)

    def overall(self) -> list[StageFigures]:
        """Figures of each stage now, with rates since the beginning."""
        seconds = self._clock.monotonic() - self._began_at
        return self._with_rates([_finished(metrics) for metrics in self._stages], seconds)

    def _with_rates(self, changes: Sequence[tuple[int, int]], seconds: float) -> list[StageFigures]:
        counts = acknowledged_counts(self._stages, changes)
        return [
            self._of(metrics, (count or 0.0) / seconds if seconds > 0 else 0.0)
            for metrics, count in zip(self._stages, counts, strict=True)
        ]

    def _of(self, metrics: StageMetrics, finished_per_second: float) -> StageFigures:
        figures = _figures(metrics, finished_per_second)
        verdict = verdict_of(metrics, self._clock.monotonic(), metrics.stall_after_seconds)
        return replace(
            figures,
            pipeline=metrics.pipeline,
            is_one_of_several=self._are_several,
            cause=verdict.cause,
        )


def duration(seconds: float) -> str:
    """A duration with three digits, in us, ms or s."""
    if seconds < 0.001:  # noqa: PLR2004 - a millisecond
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def at_most(seconds: float | None) -> str:
    """The upper bound of a duration from a histogram; `-` while it is unknown."""
    if seconds is None:
        return "-"
    utf = (sys.stdout.encoding or "").lower().startswith("utf")
    return f"{'≤' if utf else '<='} {duration(seconds)}"  # a terminal may show Latin 1 only


_HELD = "held"


def _finished(metrics: StageMetrics) -> tuple[int, int]:
    """Records that Kafka has the outputs of, and attempts that ended one, whatever became of it."""
    return metrics.acknowledged_records, sum(metrics.outcomes.values())


def _figures(metrics: StageMetrics, finished_per_second: float) -> StageFigures:
    dead_letters = sum(metrics.dead_letters.values())
    waiting = sum(metrics.records_out[topic] for topic in metrics.retry_topics)
    records_out = sum(metrics.records_out.values()) - dead_letters - waiting
    return StageFigures(
        stage=metrics.stage,
        state=_HELD if metrics.held_since is not None else metrics.state,
        records_in=metrics.records_in,
        records_out=None if metrics.processed and not records_out else records_out,
        finished_per_second=finished_per_second,
        in_flight=metrics.in_flight_records,
        lag=metrics.lag_records,
        retries=metrics.retries,
        dead_letters=dead_letters,
        reasons=tuple((reason, count) for reason, count in metrics.dead_letters.items() if count),
        skipped=metrics.skipped,
        dropped=metrics.dropped,
        filtered=metrics.filtered,
        p50_seconds=metrics.attempt_duration.quantile_seconds(0.5),
        p99_seconds=metrics.attempt_duration.quantile_seconds(0.99),
        retried_later=metrics.retried_later,
    )
