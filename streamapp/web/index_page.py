"""The page at `/`: what each stage does, for a person with a browser and nothing else.

It needs no JavaScript and loads nothing from elsewhere; it reloads itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from streamapp.observability.health import Health
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.web.readable import age, amount, bytes_amount, duration

RELOAD_SECONDS = 5

_NOTHING = '<span class="zero">-</span>'
"""In a cell whose figure the stage does not have."""

_STYLE = """
:root { color-scheme: light dark; --line: #8883; --quiet: #8889; --good: #1a7f37; --busy: #9a6700;
  --bad: #cf222e; --off: #6e7781 }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 78rem; padding: 1.5rem }
header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: baseline }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.05rem; margin: 1.6rem 0 .3rem }
nav { margin-left: auto } nav a { margin-left: 1rem }
table { border-collapse: collapse; width: 100% }
th, td { padding: .35rem .6rem; text-align: left; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th { font-weight: 600; font-size: .8rem; vertical-align: bottom }
th small, td small, .quiet { color: GrayText; font-weight: 400; font-size: .8rem }
td small { display: block; line-height: 1.2 }
.n { text-align: right; font-variant-numeric: tabular-nums }
.zero { color: GrayText }
.state { color: #fff; border-radius: .8rem; padding: .1rem .65rem; font-size: .8rem;
  background: var(--off) }
.running { background: var(--good) }
.starting, .draining { background: var(--busy) }
.failed, .stalled { background: var(--bad) }
.verdict { font-weight: 600 } .well { color: var(--good) } .unwell { color: var(--bad) }
.wide { overflow-x: auto }
@media (prefers-color-scheme: dark) { :root { --good: #2ea043; --busy: #bb8009; --bad: #f85149 } }
"""


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage with what the page shows beside its counters.

    Attributes:
        metrics: its counters.
        health: whether it does its work, and why.
        finished_per_second: records finished, lately.
    """

    metrics: StageMetrics
    health: Health
    finished_per_second: float


@dataclass(frozen=True, slots=True)
class Moment:
    """When the page is drawn.

    Attributes:
        wall: seconds since the epoch.
        monotonic: seconds of the clock that the counters were written with.
        text: the same for people.
    """

    wall: float
    monotonic: float
    text: str


def index_page(stages: Sequence[StageView], moment: Moment, version: str) -> str:
    """The page as HTML; it reloads itself every 5 seconds."""
    sections = "".join(
        f"<h2>{escape(pipeline)}</h2>\n{_table(list(views), moment)}"
        for pipeline, views in groupby(stages, key=lambda view: view.metrics.pipeline)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="{RELOAD_SECONDS}">
<title>{_title(stages)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>streamapp</h1>
{_verdict(stages)}
<span class="quiet">{escape(moment.text)}, reloads every {RELOAD_SECONDS} s,
version {escape(version)}</span>
<nav><a href="/metrics">metrics</a><a href="/healthz">health</a><a href="/readyz">ready</a></nav>
</header>
{sections or "<p>No stage runs.</p>"}
</body>
</html>
"""


def _title(stages: Sequence[StageView]) -> str:
    return "streamapp" if all(view.health.ok for view in stages) else "(!) streamapp"


def _verdict(stages: Sequence[StageView]) -> str:
    ill = [view for view in stages if not view.health.ok]
    if ill:
        names = ", ".join(escape(f"{v.metrics.stage}: {v.health.reason}") for v in ill)
        return f'<span class="verdict unwell">{names}</span>'
    word = f"all {len(stages)} stages are well" if stages else "nothing to do"
    return f'<span class="verdict well">{word}</span>'


def _table(stages: Sequence[StageView], moment: Moment) -> str:
    head = "".join(
        f'<th class="{column.kind}">{column.title}<br><small>{column.unit}</small></th>'
        for column in _COLUMNS
    )
    rows = "".join(f"<tr>{_row(view, moment)}</tr>\n" for view in stages)
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table></div>\n"
    )


def _row(view: StageView, moment: Moment) -> str:
    return "".join(
        f'<td class="{column.kind}">{column.cell(view, moment)}</td>' for column in _COLUMNS
    )


def _stage(view: StageView, _moment: Moment) -> str:
    metrics = view.metrics
    source = f"fused to {metrics.fused_to}" if metrics.fused_to else metrics.source
    return f"{escape(metrics.stage)}<small>{escape(source)}</small>"


def _state(view: StageView, _moment: Moment) -> str:
    metrics, health = view.metrics, view.health
    stalled = not health.ok and metrics.state == "running"
    word = "stalled" if stalled else metrics.state.value
    return f'<span class="state {word}" title="{escape(health.reason)}">{word}</span>'


def _rate(view: StageView, _moment: Moment) -> str:
    return _quiet_zero(amount(round(view.finished_per_second)))


def _records_in(view: StageView, _moment: Moment) -> str:
    return _quiet_zero(amount(view.metrics.records_in))


def _records_out(view: StageView, _moment: Moment) -> str:
    """Acknowledged outputs; dead letters have a column of their own."""
    metrics = view.metrics
    out = sum(metrics.records_out.values()) - sum(metrics.dead_letters.values())
    if metrics.processed and not out:
        return _NOTHING  # they go on in this process, to the stage that is fused to it
    return _quiet_zero(amount(out))


def _lag(view: StageView, moment: Moment) -> str:
    """Sum over the partitions and the age of the oldest; a question mark while none is known."""
    if view.metrics.fused_to:
        return _NOTHING
    partitions = view.metrics.partitions.values()
    known = [p.lag_records for p in partitions if p.lag_records is not None]
    if not known:
        return '<span class="zero" title="no partition, or not measured yet">?</span>'
    stamps = [p.oldest_timestamp_seconds for p in partitions if p.oldest_timestamp_seconds]
    oldest = f"<small>{age(moment.wall - min(stamps))}</small>" if sum(known) and stamps else ""
    return f"{_quiet_zero(amount(sum(known)))}{oldest}"


def _in_flight(view: StageView, _moment: Moment) -> str:
    metrics = view.metrics
    if metrics.fused_to:
        return _NOTHING
    size = f"<small>{bytes_amount(metrics.in_flight_bytes)}</small>"
    return _quiet_zero(amount(metrics.in_flight_records)) + (
        size if metrics.in_flight_records else ""
    )


def _retries(view: StageView, _moment: Moment) -> str:
    return _quiet_zero(amount(view.metrics.retries))


def _dead_letters(view: StageView, _moment: Moment) -> str:
    counts = view.metrics.dead_letters
    reasons = ", ".join(reason for reason, count in counts.items() if count)
    small = f"<small>{reasons}</small>" if reasons else ""
    return _quiet_zero(amount(sum(counts.values()))) + small


def _attempt(quantile: float) -> "Callable[[StageView, Moment], str]":
    def cell(view: StageView, _moment: Moment) -> str:
        bound = view.metrics.attempt_duration.quantile_seconds(quantile)
        return _NOTHING if bound is None else f"≤ {duration(bound)}"

    return cell


def _commit(view: StageView, moment: Moment) -> str:
    at = view.metrics.last_commit_at
    return _NOTHING if at is None else age(moment.monotonic - at)


def _quiet_zero(text: str) -> str:
    return '<span class="zero">0</span>' if text == "0" else text


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    unit: str
    kind: str
    cell: Callable[[StageView, Moment], str]


_COLUMNS = (
    _Column("stage", "reads", "t", _stage),
    _Column("state", "", "t", _state),
    _Column("finished", "records/s", "n", _rate),
    _Column("in", "records", "n", _records_in),
    _Column("out", "records", "n", _records_out),
    _Column("lag", "records, oldest", "n", _lag),
    _Column("in flight", "records, size", "n", _in_flight),
    _Column("retries", "attempts", "n", _retries),
    _Column("dead letters", "records, why", "n", _dead_letters),
    _Column("attempt", "median", "n", _attempt(0.5)),
    _Column("attempt", "99 %", "n", _attempt(0.99)),
    _Column("commit", "ago", "n", _commit),
)
