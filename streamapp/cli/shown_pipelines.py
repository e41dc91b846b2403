"""Prints and runs pipelines of the configuration file, for `streamapp pipelines`."""

from pathlib import Path

import orjson
import typer

from streamapp.cli.configured import configured
from streamapp.cli.explained import assembled_or_explained, choices_of, explanation_lines
from streamapp.cli.output import Report, chosen_format, print_json, print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.cli.plan_json import as_json
from streamapp.cli.plan_text import as_text
from streamapp.cli.run_options import RunOptions
from streamapp.cli.say import say
from streamapp.cli.warn import warn
from streamapp.configuration.declared_bundles import named
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.declared_warnings import warnings_of
from streamapp.configuration.lint import tell_warnings
from streamapp.configuration.told_places import telling_places
from streamapp.observability.logs import LogFormat, configure_logging
from streamapp.pipeline.outline import outline_of
from streamapp.pipeline.topology import build
from streamapp.runtime.config import RuntimeConfig


def print_pipelines(*, config: Path | None, output: OutputFormat | None) -> None:
    """List the pipelines by name, as they are declared."""
    configuration = configured(config).configuration
    found = sorted(configuration.data_pipelines.items())
    report = Report(
        [
            {"name": name, **one.model_dump(mode="json", by_alias=True, exclude_unset=True)}
            for name, one in found
        ],
        ("pipeline", "reads", "stages", "writes"),
        [_row(name, one) for name, one in found],
        "There are no pipelines; declare some under data_pipelines.",
    )
    print_report(report, configuration.cli_settings, output)


def print_plan(
    *,
    name: str,
    config: Path | None,
    explain: bool,
    allow_package: list[str] | None,
    output: OutputFormat | None,
) -> None:
    """Show the plan of a pipeline with the agents that are chosen for it; needs no Kafka."""
    file = configured(config, allow_package or ())
    configuration = file.configuration
    with telling_places(file):
        found = assembled_or_explained(configuration, file.path, name, explain=explain)
    warn([*tell_warnings(file, warnings_of(configuration, name, found)), *found.warnings])
    outline = outline_of(build(found.pipeline, needs_sink=False))
    if chosen_format(configuration.cli_settings, output) is not OutputFormat.JSON:
        typer.echo(as_text(outline), nl=False)
        if explain:
            typer.echo("\n" + "\n".join(explanation_lines(found.choice.explanation)))
    elif explain:
        plan = orjson.loads(as_json(outline))
        print_json({"plan": plan, "explanation": found.choice.explanation.as_json()})
    else:
        typer.echo(as_json(outline), nl=False)


def run_declared(  # noqa: PLR0913 - one parameter is one option
    *,
    name: str,
    config: Path | None,
    explain: bool,
    allow_package: list[str] | None,
    bootstrap_servers: str | None,
    workers: int | None,
    until_end: bool,
    web_port: int | None,
    web_host: str,
    web_open: bool,
    progress_seconds: float,
    log_format: LogFormat,
) -> None:
    """Run a pipeline, or those of a bundle, on Kafka until it is stopped."""
    configure_logging("WARNING", log_format)  # until the file says which level
    file = configured(config, allow_package or ())
    # Made here as well, so that faults of a missing file are told as such.
    choices = choices_of(file.configuration, file.path)
    for member in named(file.configuration.data_pipelines, name)[0]:
        with telling_places(file):
            found = assembled_or_explained(
                file.configuration, file.path, member, explain=explain, choices=choices
            )
        if explain:
            for line in explanation_lines(found.choice.explanation):
                say(line)
    options = RunOptions(
        target=f"{file.path}#{name}",
        packages=tuple(allow_package or ()),
        bootstrap_servers=bootstrap_servers,
        stages=(),
        instance_id=None,
        session_seconds=RuntimeConfig().session_timeout_seconds,
        yes=False,
        until_end=until_end,
        web_port=web_port,
        web_host=web_host,
        web_open=web_open,
        log_level=file.configuration.cli_settings.log_level,
        log_format=log_format,
        progress_seconds=progress_seconds,
        drain_seconds=RuntimeConfig().shutdown_drain_seconds,
    )
    if workers is not None:
        from streamapp.cli.workers import supervise

        supervise(options, workers)
    else:
        from streamapp.cli.work import work

        work(options, None)


def _row(name: str, declared: DeclaredPipeline) -> tuple[str, ...]:
    stages = (one.shown for one in declared.stages)
    return name, declared.reads, " > ".join(stages), declared.writes
