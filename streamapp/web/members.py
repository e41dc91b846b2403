"""The members of pools on the status page: which are left out, and who does the work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from streamapp.observability.stage_metrics import BreakerState, StageMetrics

_WORDS = {
    BreakerState.CLOSED: "takes calls",
    BreakerState.OPEN: "left out",
    BreakerState.HALF_OPEN: "tried with a call",
}


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member of a pool as the page shows it.

    Attributes:
        pool, agent: what they are called.
        breaker: what its breaker lets through.
        active, capacity: calls that run, and most that may.
        calls, failures: calls that have begun, and that have raised.
    """

    pool: str
    agent: str
    breaker: BreakerState
    active: int
    capacity: int
    calls: int
    failures: int


def member_rows(metrics: StageMetrics, now: float) -> Sequence[MemberRow]:
    """The members of every pool of a stage, at a time in monotonic seconds."""
    return [
        MemberRow(pool, one.name, one.breaker, one.active, one.capacity, one.calls, one.failures)
        for pool, read in metrics.pools.items()
        for one in read(now)
    ]


def member_items(rows: Sequence[MemberRow], worker: str | None) -> Iterator[str]:
    """A line of HTML for each member."""
    where = "" if worker is None else f" of worker {escape(worker)}"
    for row in rows:
        word = _WORDS[BreakerState(row.breaker)]
        kind = "well" if row.breaker == BreakerState.CLOSED else "unwell"
        yield (
            f"{escape(row.pool)}{where}: <b>{escape(row.agent)}</b>"
            f' <span class="{kind}">{word}</span>, {row.active} of {row.capacity} calls run;'
            f" {row.calls:,} calls, {row.failures:,} failed"
        )
