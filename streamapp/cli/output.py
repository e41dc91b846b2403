"""Prints tables on a terminal, and elsewhere what `output_format` says."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from streamapp.cli.output_format import OutputFormat
from streamapp.cli.table import laid_out
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
        text: headings of columns of text, in which a terminal that is narrow may break words.
        least: headings of columns that it leaves out first; then those from the right, but one.
    """

    data: Any
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    nothing: str = "There is nothing to show."
    text: Collection[str] = ()
    least: Sequence[str] = ()


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
        _print_table(report, err=err)
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


def _print_table(report: Report, *, err: bool) -> None:
    """Print a table: on a terminal within its width, with coloured headings but for NO_COLOR."""
    rows = [[printable(cell) for cell in row] for row in report.rows]
    console = Console(stderr=err)
    is_terminal = (sys.stderr if err else sys.stdout).isatty()
    layout = laid_out(
        report.headings,
        rows,
        console.width if is_terminal else None,
        text=report.text,
        least=report.least,
    )
    if not is_terminal:
        for line in layout.lines:
            typer.echo(line, err=err)
        return
    heading = next(layout.lines)
    console.print(Text(heading, style="bold cyan"), soft_wrap=True)
    for line in layout.lines:
        typer.echo(line, err=err)
    if layout.left_out:
        told = f"(no room for: {', '.join(layout.left_out)}; --output json has all)"
        console.print(Text(told, style="dim"))
