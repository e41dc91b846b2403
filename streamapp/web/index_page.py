"""The status page at `/`: the state and figures of each stage, and how they are connected.

It needs no JavaScript, loads nothing from elsewhere, and reloads itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import groupby

from streamapp.clock import Clock
from streamapp.observability.causes import Level
from streamapp.observability.readable import age, amount, bytes_amount, duration
from streamapp.observability.stage_metrics import StageMetrics, StageState
from streamapp.observability.verdict import Verdict
from streamapp.web.members import MemberRow, member_items, member_rows

RELOAD_SECONDS = 5

_NOTHING = '<span class="zero">-</span>'
"""Content of a cell for which the stage has no figure."""

_UNKNOWN = '<span class="zero" title="not known yet">?</span>'

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
.attention { background: var(--busy) }
.failed, .failing, .unknown { background: var(--bad) }
.verdict { font-weight: 600 } .well { color: var(--good) } .unwell { color: var(--bad) }
.plan, .members { font-size: .85rem; margin: .8rem 0 }
.plan, .members, .plan ul { padding-left: 1.2rem }
.plan > li { margin: .3rem 0 } .plan ul { list-style: none; border-left: 1px solid var(--line) }
.topic { border: 1px solid var(--quiet); border-radius: .5rem; padding: 0 .4rem }
.letters { border-style: dashed } .plan small { color: GrayText }
.wide { overflow-x: auto } .workers table { width: auto; margin-top: 1rem }
@media (prefers-color-scheme: dark) { :root { --good: #2ea043; --busy: #bb8009; --bad: #f85149 } }
"""


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage with what the page shows beside its counters.

    Attributes:
        metrics: its counters.
        verdict: how it does, and why.
        finished_per_second: records finished and acknowledged, lately; `None` if not known.
        picture: where it stands in its pipeline, as HTML; empty if that is not known.
    """

    metrics: StageMetrics
    verdict: Verdict
    finished_per_second: float | None
    picture: str = ""


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

    @classmethod
    def of(cls, clock: Clock) -> "Moment":
        """Now."""
        wall = clock.time()
        text = datetime.fromtimestamp(wall, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return cls(wall, clock.monotonic(), text)


@dataclass(frozen=True, slots=True)
class Row:
    """A stage as the page shows it.

    Attributes:
        pipeline, stage: what it is called.
        ok, reason: whether it does well, and why.
        cells: its cells as HTML, one for each column.
        worker: the worker that runs it, where there are several.
        picture: where the stage stands in its pipeline, as HTML; empty if that is not known.
        members: the members of its pools.
    """

    pipeline: str
    stage: str
    ok: bool
    reason: str
    cells: Sequence[str]
    worker: str | None = None
    picture: str = ""
    members: Sequence[MemberRow] = ()


def row_of(view: StageView, moment: Moment) -> Row:
    """The row of a stage."""
    metrics, verdict = view.metrics, view.verdict
    cells = tuple(column.cell(view, moment) for column in _COLUMNS)
    return Row(
        metrics.pipeline,
        metrics.stage,
        verdict.level is Level.WELL,
        verdict.reason,
        cells,
        picture=view.picture,
        members=member_rows(metrics, moment.monotonic),
    )


def index_page(stages: Sequence[StageView], moment: Moment, version: str) -> str:
    """The page of one worker as HTML; it reloads itself every 5 seconds."""
    return page([row_of(view, moment) for view in stages], moment, version)


def page(rows: Sequence[Row], moment: Moment, version: str, workers: Sequence[Row] = ()) -> str:
    """The page as HTML.

    Args:
        rows: the stages.
        moment: when it is drawn.
        version: of streamapp.
        workers: the workers, where a supervisor runs several; the cells are those of
            `WORKER_COLUMNS`.
    """
    sections = f'<div class="workers">{_table(WORKER_COLUMNS, workers)}</div>' if workers else ""
    columns = tuple((column.title, column.unit, column.kind) for column in _COLUMNS)
    if workers:
        columns = (("worker", "", "t"), *columns)
    for pipeline, own in groupby(
        sorted(rows, key=lambda row: row.pipeline) if workers else rows, key=lambda r: r.pipeline
    ):
        stages = list(own)
        sections += f"<h2>{escape(pipeline)}</h2>\n{_table(columns, stages)}"
        sections += _plan(stages) + _members(stages)
    verdict = _verdict(rows, workers)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="{RELOAD_SECONDS}">
<title>{"streamapp" if all(row.ok for row in (*workers, *rows)) else "(!) streamapp"}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>streamapp</h1>
{verdict}
<span class="quiet">{escape(moment.text)}, reloads every {RELOAD_SECONDS} s,
version {escape(version)}</span>
<nav><a href="/metrics">metrics</a><a href="/healthz">health</a><a href="/readyz">ready</a></nav>
</header>
{sections or "<p>No stage runs.</p>"}
</body>
</html>
"""


WORKER_COLUMNS = (
    ("worker", "", "t"),
    ("state", "", "t"),
    ("restarts", "", "n"),
    ("process", "id", "n"),
)
"""Title, unit and kind of the columns of workers."""


def _verdict(rows: Sequence[Row], workers: Sequence[Row]) -> str:
    ill = [f"worker {row.worker}: {row.reason}" for row in workers if not row.ok]
    ill += [
        f"{row.stage}{f' of worker {row.worker}' if row.worker else ''}: {row.reason}"
        for row in rows
        if not row.ok
    ]
    if ill:
        return f'<span class="verdict unwell">{", ".join(map(escape, ill))}</span>'
    stages = len({(row.pipeline, row.stage) for row in rows})
    word = f"all {stages} stages are well" if rows else "nothing to do"
    if workers:
        word += f" in {len(workers)} workers"
    return f'<span class="verdict well">{word}</span>'


def _table(columns: Sequence[tuple[str, str, str]], rows: Sequence[Row]) -> str:
    head = "".join(
        f'<th class="{kind}">{title}<br><small>{unit}</small></th>' for title, unit, kind in columns
    )
    kinds = [kind for _, _, kind in columns]
    body = "".join(f"<tr>{_cells(kinds, row)}</tr>\n" for row in rows)
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table></div>\n"
    )


def _plan(rows: Sequence[Row]) -> str:
    """The stages with their topics and parts; one that several workers run comes once."""
    items = "".join(f"<li>{one}</li>\n" for one in dict.fromkeys(r.picture for r in rows) if one)
    return f'<ol class="plan">\n{items}</ol>\n' if items else ""


def _members(rows: Sequence[Row]) -> str:
    """The members of the pools, those of each worker."""
    lines = [line for row in rows for line in member_items(row.members, row.worker)]
    items = "".join(f"<li>{line}</li>\n" for line in lines)
    return f'<ul class="members">\n{items}</ul>\n' if items else ""


def _cells(kinds: Sequence[str], row: Row) -> str:
    cells = row.cells if row.worker is None else (escape(row.worker), *row.cells)
    return "".join(
        f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, cells, strict=True)
    )


def _stage(view: StageView, _moment: Moment) -> str:
    metrics = view.metrics
    source = f"fused to {metrics.fused_to}" if metrics.fused_to else metrics.source
    return f"{escape(metrics.stage)}<small>{escape(source)}</small>"


def _state(view: StageView, _moment: Moment) -> str:
    metrics, verdict = view.metrics, view.verdict
    is_well = verdict.level is Level.WELL or metrics.state != StageState.RUNNING
    word = metrics.state.value if is_well else verdict.level.value
    return f'<span class="state {word}" title="{escape(verdict.reason)}">{word}</span>'


def _rate(view: StageView, _moment: Moment) -> str:
    rate = view.finished_per_second
    return _UNKNOWN if rate is None else _muted_zero(amount(round(rate)))


def _records_in(view: StageView, _moment: Moment) -> str:
    return _muted_zero(amount(view.metrics.records_in))


def _records_out(view: StageView, _moment: Moment) -> str:
    """Acknowledged outputs; dead letters and retries have columns of their own."""
    metrics = view.metrics
    out = sum(metrics.records_out.values()) - sum(metrics.dead_letters.values())
    out -= sum(metrics.records_out[topic] for topic in metrics.retry_topics)
    if metrics.processed and not out:
        return _NOTHING  # they go on in this process, to the stage that is fused to it
    return _muted_zero(amount(out))


def _lag(view: StageView, moment: Moment) -> str:
    """Sum over the partitions and the age of the oldest; at least that while a part is unknown."""
    if view.metrics.fused_to:
        return _NOTHING
    partitions = view.metrics.partitions.values()
    known = [p.lag_records for p in partitions if p.lag_records is not None]
    is_partial = view.metrics.lag_records is None
    if is_partial and not sum(known):
        return '<span class="zero" title="no partition, or not measured yet">?</span>'
    stamps = [p.oldest_timestamp_seconds for p in partitions if p.oldest_timestamp_seconds]
    oldest = f"<small>{age(moment.wall - min(stamps))}</small>" if sum(known) and stamps else ""
    waiting = sum(p.lag_records or 0 for p in partitions if p.is_waiting(moment.monotonic))
    wait = f"<small>{amount(waiting)} wait for a retry</small>" if waiting else ""
    return f"{'≥ ' if is_partial else ''}{_muted_zero(amount(sum(known)))}{oldest}{wait}"


def _in_flight(view: StageView, _moment: Moment) -> str:
    metrics = view.metrics
    if metrics.fused_to:
        return _NOTHING
    size = f"<small>{bytes_amount(metrics.in_flight_bytes)}</small>"
    return _muted_zero(amount(metrics.in_flight_records)) + (
        size if metrics.in_flight_records else ""
    )


def _retries(view: StageView, _moment: Moment) -> str:
    later = view.metrics.retried_later
    small = f"<small>{amount(later)} later</small>" if later else ""
    return _muted_zero(amount(view.metrics.retries)) + small


def _dead_letters(view: StageView, _moment: Moment) -> str:
    counts = view.metrics.dead_letters
    reasons = ", ".join(reason for reason, count in counts.items() if count)
    small = f"<small>{reasons}</small>" if reasons else ""
    return _muted_zero(amount(sum(counts.values()))) + small


def _attempt(quantile: float) -> "Callable[[StageView, Moment], str]":
    def cell(view: StageView, _moment: Moment) -> str:
        bound = view.metrics.attempt_duration.quantile_seconds(quantile)
        return _NOTHING if bound is None else f"≤ {duration(bound)}"

    return cell


def _median_attempt(view: StageView, moment: Moment) -> str:
    """With the mean size of the batches, if the agent takes batches."""
    sizes = view.metrics.batch_records
    calls = sum(sizes.counts) if sizes is not None else 0
    if sizes is None or not calls:
        return _attempt(0.5)(view, moment)
    mean = f"{sizes.total / calls:.1f}"
    return f"{_attempt(0.5)(view, moment)}<small>in batches of {mean}</small>"


def _commit(view: StageView, moment: Moment) -> str:
    at = view.metrics.last_commit_at
    return _NOTHING if at is None else age(moment.monotonic - at)


def _muted_zero(text: str) -> str:
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
    _Column("attempt", "median", "n", _median_attempt),
    _Column("attempt", "99 %", "n", _attempt(0.99)),
    _Column("commit", "ago", "n", _commit),
)
