"""Prints the stages of running services and of saved runs, for `streamapp status`."""

import asyncio
import sys
import time
from pathlib import Path

import typer
from rich.console import Console

from streamapp.cli.configured import configured
from streamapp.cli.output import Report, chosen_format, print_json, print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.cli.pipeline_state import PipelineState, asked_once, served_states, states_of
from streamapp.cli.recorded import run_folder
from streamapp.cli.status_text import HEADINGS, LEAST, headline, notes, stage_row
from streamapp.configuration.file import ConfigurationFile
from streamapp.configuration.printable import printable
from streamapp.errors import ConfigurationError, StreamappError
from streamapp.registry.nearest import did_you_mean
from streamapp.status import PipelineStatus

REFRESH_SECONDS = 2.0
VERSION = 1


def print_status(
    *,
    pipeline: str | None,
    config: Path | None,
    web_url: str | None,
    watch: bool,
    output: OutputFormat | None,
) -> None:
    """Show each stage of pipelines that run, or as their last run has left them."""
    file = configured(config)
    while True:
        states = _states(file, config, pipeline, web_url)
        if watch and sys.stdout.isatty():
            Console().clear()
        _print(file, states, output)
        if not watch:
            return
        time.sleep(REFRESH_SECONDS)


def asked_states(
    config: Path | None, pipeline: str | None, web_url: str | None
) -> list[PipelineState]:
    """The pipelines of a service that is asked by its address, else those of the saved runs.

    Raises:
        StreamappError: nothing answers at the address.
    """
    return _asked(config, pipeline, web_url)[0]


def _asked(
    config: Path | None, pipeline: str | None, web_url: str | None
) -> tuple[list[PipelineState], set[str]]:
    if web_url is not None:
        report = asyncio.run(asked_once(web_url))
        if report is None:
            raise StreamappError(
                f"there is no status at {web_url}: give the address that `run` has printed, or"
                " leave --web-url out to see saved runs"
            )
        found = served_states(report, pipeline)
        names = {one.pipeline for one in report.stages}
    else:
        records = list(run_folder(config).read())
        found = states_of(records, time.time(), pipeline)
        names = {name for record in records for name in record.pipelines}
    return found, names


def _states(
    file: ConfigurationFile, config: Path | None, pipeline: str | None, web_url: str | None
) -> list[PipelineState]:
    found, names = _asked(config, pipeline, web_url)
    if pipeline is not None and not found:
        declared = file.configuration.data_pipelines
        if pipeline not in declared:
            near = did_you_mean(pipeline, {*declared, *names})
            raise ConfigurationError(f"no pipeline {pipeline!r} has run or is declared; {near}")
        found = [PipelineState(pipeline, PipelineStatus.PENDING)]
    return found


def _print(
    file: ConfigurationFile, states: list[PipelineState], output: OutputFormat | None
) -> None:
    settings = file.configuration.cli_settings
    if chosen_format(settings, output) is OutputFormat.JSON:
        print_json({"version": VERSION, "pipelines": [one.as_json() for one in states]})
        return
    if not states:
        typer.echo("There are no runs yet; `streamapp run` and `streamapp pipelines` make some.")
    now = time.time()
    for number, state in enumerate(states):
        if number:
            typer.echo()
        typer.echo(printable(headline(state, now)))
        stages = () if state.report is None else state.report.stages
        if stages:
            rows = [stage_row(one, now) for one in stages]
            report = Report(None, HEADINGS, rows, least=LEAST)
            print_report(report, settings, OutputFormat.TABLE)
        for line in notes(state, now):
            typer.echo(printable(line))
