"""The page at `/`: what each stage does, for a person with a browser and nothing else."""

from collections.abc import Iterable, Sequence
from html import escape

from streamapp.observability.stage_metrics import StageMetrics

_COLUMNS = ("pipeline", "stage", "state", "records in", "records out", "lag", "dead letters")
_NUMBERS = frozenset(_COLUMNS[3:])

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="5">
<title>streamapp</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark }
table { border-collapse: collapse }
th, td { padding: .2rem 1rem .2rem 0; text-align: left; border-bottom: 1px solid #8884 }
.n { text-align: right; font-variant-numeric: tabular-nums }
</style>
</head>
<body>
<h1>streamapp</h1>
<p><a href="/metrics">metrics</a> · <a href="/healthz">health</a> · <a href="/readyz">ready</a></p>
"""


def index_page(stages: Sequence[StageMetrics]) -> str:
    """The page as HTML; it reloads itself every 5 seconds."""
    if not stages:
        return f"{_HEAD}<p>No stage runs.</p>\n</body>\n</html>\n"
    head = _row("th", _COLUMNS)
    rows = "".join(_row("td", _cells(metrics)) for metrics in stages)
    table = f"<table>\n<thead>\n{head}</thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    return f"{_HEAD}{table}</body>\n</html>\n"


def _cells(metrics: StageMetrics) -> tuple[str, ...]:
    return (
        metrics.pipeline,
        metrics.stage,
        metrics.state,
        f"{metrics.records_in:,}",
        f"{sum(metrics.records_out.values()):,}",
        _lag(metrics),
        f"{sum(metrics.dead_letters.values()):,}",
    )


def _lag(metrics: StageMetrics) -> str:
    """Sum over the partitions; a question mark while none is known."""
    known = [p.lag_records for p in metrics.partitions.values() if p.lag_records is not None]
    return f"{sum(known):,}" if known else "?"


def _row(tag: str, cells: Iterable[str]) -> str:
    row = "".join(
        f'<{tag} class="{"n" if column in _NUMBERS else "t"}">{escape(cell)}</{tag}>'
        for column, cell in zip(_COLUMNS, cells, strict=True)
    )
    return f"<tr>{row}</tr>\n"
