"""Progress of a running worker: a table that is redrawn on a terminal, plain lines elsewhere."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TextIO

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from streamapp.cli.figures import Figures, StageFigures, duration

REDRAW_SECONDS = 1.0
_COLUMNS = (
    "stage",
    "state",
    "in",
    "out",
    "records/s",
    "in flight",
    "lag",
    "retries",
    "dead letters",
    "p50",
    "p99",
)


@asynccontextmanager
async def showing(figures: Figures, *, seconds: float) -> AsyncIterator[None]:
    """Show progress while the block runs.

    Args:
        figures: what is shown.
        seconds: between plain lines; a terminal is redrawn each second.
    """
    on_terminal = sys.stdout.isatty()
    task = asyncio.create_task(_redraw(figures) if on_terminal else _print(figures, seconds))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def summary_lines(stages: Sequence[StageFigures]) -> list[str]:
    """One line for each stage on what it did altogether."""
    return [f"{figures.stage}: {figures.state}, {_counts(figures)}" for figures in stages]


def progress_line(figures: StageFigures) -> str:
    """One line on what a stage does now."""
    lag = "" if figures.lag is None else f", lag {figures.lag:,}"
    return (
        f"{figures.stage}: {figures.state}, {_counts(figures)},"
        f" {figures.in_flight:,} in flight{lag}"
    )


def table(stages: Sequence[StageFigures]) -> Table:
    """The stages as they are drawn on a terminal."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        drawn.add_column(column, justify="left" if column in ("stage", "state") else "right")
    for figures in stages:
        drawn.add_row(
            figures.stage,
            figures.state,
            f"{figures.records_in:,}",
            "-" if figures.records_out is None else f"{figures.records_out:,}",
            f"{figures.finished_per_second:,.0f}",
            f"{figures.in_flight:,}",
            "-" if figures.lag is None else f"{figures.lag:,}",
            f"{figures.retries:,}",
            f"{figures.dead_letters:,}",
            duration(figures.p50_seconds),
            duration(figures.p99_seconds),
        )
    return drawn


def _counts(figures: StageFigures) -> str:
    parts = [f"{figures.records_in:,} in"]
    if figures.records_out is not None:
        parts.append(f"{figures.records_out:,} out")
    parts += [
        f"{figures.dead_letters:,} dead letters",
        f"{figures.retries:,} retries",
    ]
    others = {
        "filtered": figures.filtered,
        "skipped": figures.skipped,
        "dropped": figures.dropped,
    }
    parts += [f"{count:,} {name}" for name, count in others.items() if count]
    parts.append(f"{figures.finished_per_second:,.0f}/s")
    if figures.p50_seconds is not None:
        parts.append(f"p50 {duration(figures.p50_seconds)}")
        parts.append(f"p99 {duration(figures.p99_seconds)}")
    return ", ".join(parts)


async def _print(figures: Figures, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        for stage in figures.look():
            typer.echo(progress_line(stage))


async def _redraw(figures: Figures) -> None:
    console = Console()
    with Live(console=console, auto_refresh=False, transient=True) as live, _logs_above():
        while True:
            live.update(table(figures.look()), refresh=True)
            await asyncio.sleep(REDRAW_SECONDS)


@contextmanager
def _logs_above() -> Iterator[None]:
    """Let log lines go where the table has moved stderr to: above it instead of through it."""
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
