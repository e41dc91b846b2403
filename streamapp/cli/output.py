"""Prints tables on a terminal, and elsewhere what `output_format` says."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamapp.cli.output_format import OutputFormat
from streamapp.configuration.printable import printable
from streamapp.configuration.sections import CliSettings


@dataclass(frozen=True, slots=True)
class Report:
    """What a command has to print.

    Attributes:
        data: for programs, as plain values.
        headings: of the columns of the table.
        rows: of the table, for people.
        nothing: a sentence in the place of a table without rows.
    """

    data: Any
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    nothing: str = "There is nothing to show."


def print_report(
    report: Report, settings: CliSettings, asked: OutputFormat | None, *, err: bool = False
) -> None:
    """Print a report: as was asked, else as a table on a terminal, else as the settings say.

    Args:
        report: the report.
        settings: say what is printed where there is no terminal.
        asked: what was asked for on the command line.
        err: print it on standard error.
    """
    if chosen_format(settings, asked, err=err) is OutputFormat.JSON:
        print_json(report.data, err=err)
    elif report.rows:
        _print_table(report.headings, report.rows, err=err)
    else:
        typer.echo(report.nothing, err=err)


def chosen_format(
    settings: CliSettings, asked: OutputFormat | None, *, err: bool = False
) -> OutputFormat:
    """What was asked for, else a table on a terminal, else what the settings say."""
    stream = sys.stderr if err else sys.stdout
    on_terminal = OutputFormat.TABLE if stream.isatty() else None
    return asked or on_terminal or OutputFormat(settings.output_format)


def print_json(data: Any, *, err: bool = False) -> None:
    """Print plain values as indented JSON."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    typer.echo(orjson.dumps(data, option=option).decode(), nl=False, err=err)


def _print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool = False
) -> None:
    """Print a table: on a terminal by rich, which colours it unless NO_COLOR is set."""
    shown = [[printable(cell) for cell in row] for row in rows]
    is_terminal = (sys.stderr if err else sys.stdout).isatty()
    if is_terminal and len(rows) <= _MOST_ROWS:
        Console(stderr=err).print(_coloured(headings, shown))
        return
    for line in _aligned([headings, *shown]):
        typer.echo(line, err=err)


def _coloured(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold cyan")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of aligned columns, none of which is broken."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        )
        yield "  ".join(padded).rstrip()


_MOST_ROWS = 1_000
"""Rich takes long for tables with more rows."""
