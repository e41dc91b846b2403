"""Progress of a running worker: a table on a terminal, plain lines elsewhere."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TextIO

from rich.console import Console, JustifyMethod
from rich.live import Live
from rich.table import Table

from streamapp.beside import beside
from streamapp.cli.figures import Figures, StageFigures, at_most
from streamapp.cli.say import say as say_line
from streamapp.observability.logs import LogFormat, current_format

REDRAW_SECONDS = 1.0
_GAP = "  "
_DROPPED_FIRST = ("p99", "p50", "retries", "in flight", "out", "in", "lag")
"""Columns that are left out on a narrow terminal, the least important first."""


@asynccontextmanager
async def show_progress(
    figures: Figures, *, seconds: float, say: Callable[[str], None] | None = None
) -> AsyncIterator[None]:
    """Show progress while the block runs.

    Args:
        figures: the figures to show.
        seconds: time between plain lines; the table is redrawn every second.
        say: prints plain lines, even on a terminal; for one of several processes that share it.
    """
    plain = say is not None or current_format() is LogFormat.JSON or not sys.stdout.isatty()
    show = _print(figures, seconds, say or say_line) if plain else _redraw(figures)
    async with beside(show):
        yield


def summary_lines(
    stages: Sequence[StageFigures], dead_letter_topics: Mapping[tuple[str, str], str]
) -> list[str]:
    """One line for each stage with its totals.

    Args:
        stages: figures of the stages.
        dead_letter_topics: dead-letter topic of each stage, by its pipeline and name.
    """
    return [
        f"{figures.name}: {figures.state},"
        f" {_counts(figures, dead_letter_topics.get((figures.pipeline, figures.stage)))}"
        for figures in stages
    ]


def progress_line(figures: StageFigures) -> str:
    """One line with the figures of a stage now."""
    lag = "" if figures.lag is None else f", lag {figures.lag:,}"
    counts = f"{_counts(figures)}, {figures.in_flight:,} in flight"
    return f"{figures.name}: {figures.state_and_cause}, {counts}{lag}"


def table(stages: Sequence[StageFigures], width: int) -> Table:
    """The table of stages for a terminal.

    Args:
        stages: figures of the stages.
        width: columns of the terminal; on a narrow one some figures are left out.
    """
    rows = [_cells(figures) for figures in stages]
    widths = {
        name: max(len(name), *(len(row[name]) for row in rows))
        for name in (rows[0] if rows else ())
    }
    for name in _DROPPED_FIRST:
        if sum(widths.values()) + len(_GAP) * (len(widths) - 1) > width:
            widths.pop(name, None)
    drawn = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for name in widths:
        justify: JustifyMethod = "left" if name in ("stage", "state") else "right"
        drawn.add_column(name, justify=justify, no_wrap=True)
    for row in rows:
        drawn.add_row(*(row[name] for name in widths))
    return drawn


def _cells(figures: StageFigures) -> dict[str, str]:
    return {
        "stage": figures.name,
        "state": figures.state_and_cause,
        "in": f"{figures.records_in:,}",
        "out": "-" if figures.records_out is None else f"{figures.records_out:,}",
        "rec/s": f"{figures.finished_per_second:,.0f}",
        "in flight": f"{figures.in_flight:,}",
        "lag": "-" if figures.lag is None else f"{figures.lag:,}",
        "retries": f"{figures.retries:,}",
        "dead": f"{figures.dead_letters:,}",
        "p50": at_most(figures.p50_seconds),
        "p99": at_most(figures.p99_seconds),
    }


def _dead_letters(figures: StageFigures, topic: str | None) -> str:
    text = f"{figures.dead_letters:,} dead letter{'' if figures.dead_letters == 1 else 's'}"
    if not figures.reasons:
        return text
    if len(figures.reasons) == 1:
        reasons = str(figures.reasons[0][0])
    else:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in figures.reasons)
    return f"{text} ({reasons})" + (f" in {topic}" if topic else "")


def _counts(figures: StageFigures, dead_letter_topic: str | None = None) -> str:
    parts = [f"{figures.records_in:,} in"]
    if figures.records_out is not None:
        parts.append(f"{figures.records_out:,} out")
    parts += [_dead_letters(figures, dead_letter_topic), f"{figures.retries:,} retries"]
    others = {
        "filtered": figures.filtered,
        "skipped": figures.skipped,
        "dropped": figures.dropped,
        "retried later": figures.retried_later,
    }
    parts += [f"{count:,} {name}" for name, count in others.items() if count]
    parts.append(f"{figures.finished_per_second:,.0f}/s")
    if figures.p50_seconds is not None:
        parts.append(f"p50 {at_most(figures.p50_seconds)}")
        parts.append(f"p99 {at_most(figures.p99_seconds)}")
    return ", ".join(parts)


async def _print(figures: Figures, seconds: float, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        for stage in figures.read():
            say(progress_line(stage))


async def _redraw(figures: Figures) -> None:
    console = Console()
    with Live(console=console, auto_refresh=False, transient=True) as live, _logs_above():
        while True:
            live.update(table(figures.read(), console.width), refresh=True)
            await asyncio.sleep(REDRAW_SECONDS)


@contextmanager
def _logs_above() -> Iterator[None]:
    """Write log lines above the table, where `rich` redirects stderr, and not across it."""
    moved: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            moved.append((handler, handler.stream))
            handler.setStream(sys.stderr)
    try:
        yield
    finally:
        for handler, stream in moved:
            handler.setStream(stream)
