"""`streamapp pipelines`: lists, shows, changes and runs pipelines of the configuration file."""

from typing import Annotated

import orjson
import typer

from streamapp.cli.assemble_pipelines import assemble, save_pipeline
from streamapp.cli.completion import complete_pipelines
from streamapp.cli.configured import configured
from streamapp.cli.excess import warn_of_excess
from streamapp.cli.execute import execute
from streamapp.cli.explained import (
    ExplainOption,
    assembled_or_explained,
    choices_of,
    explanation_lines,
)
from streamapp.cli.options import (
    AllowPackageOption,
    BootstrapServersOption,
    ConfigOption,
    NoWebOption,
    OutputOption,
    ProgressSecondsOption,
    UntilEndOption,
    WebPortOption,
)
from streamapp.cli.output import OutputFormat, Report, chosen_format, print_json, print_report
from streamapp.cli.plan_json import as_json
from streamapp.cli.plan_text import as_text
from streamapp.cli.run_options import RunOptions
from streamapp.cli.variables import DEFAULT_PORT
from streamapp.cli.work import work
from streamapp.cli.workers import supervise
from streamapp.configuration.declared_bundles import named
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.observability.logs import LogFormat
from streamapp.pipeline.outline import outline_of
from streamapp.pipeline.topology import build
from streamapp.runtime.config import RuntimeConfig

app = typer.Typer(
    no_args_is_help=True, help="Assemble, show and run pipelines of the configuration file."
)

NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of a pipeline.", autocompletion=complete_pipelines),
]


@app.command("list")
def list_pipelines(config: ConfigOption = None, *, output: OutputOption = None) -> None:
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


@app.command()
def show(
    name: NameArgument,
    config: ConfigOption = None,
    *,
    explain: ExplainOption = False,
    allow_package: AllowPackageOption = None,
    output: OutputOption = None,
) -> None:
    """Show the plan of a pipeline with the agents that are chosen for it; needs no Kafka.

    With --explain, JSON has the plan as `plan`, and the reasons as `explanation`.
    """
    file = configured(config, allow_package or ())
    configuration = file.configuration
    found = assembled_or_explained(configuration, file.path, name, explain=explain)
    warn_of_excess(found.warnings)
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


@app.command()
def run(
    name: NameArgument,
    config: ConfigOption = None,
    *,
    explain: ExplainOption = False,
    allow_package: AllowPackageOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Number of worker processes, as of `streamapp run`."),
    ] = None,
    until_end: UntilEndOption = False,
    web_port: WebPortOption = DEFAULT_PORT,
    no_web: NoWebOption = False,
    progress_seconds: ProgressSecondsOption = 10.0,
) -> None:
    """Run a pipeline, or those of a bundle, on Kafka until it is stopped.

    It is the same as `streamapp run FILE.json#NAME`, which has further options.
    """
    file = configured(config, allow_package or ())
    # Made here as well, so that faults of a missing file are told as such.
    choices = choices_of(file.configuration, file.path)
    for member in named(file.configuration.data_pipelines, name)[0]:
        found = assembled_or_explained(
            file.configuration, file.path, member, explain=explain, choices=choices
        )
        if explain:
            for line in explanation_lines(found.choice.explanation):
                typer.echo(line)
    options = RunOptions(
        target=f"{file.path}#{name}",
        packages=tuple(allow_package or ()),
        bootstrap_servers=bootstrap_servers,
        stages=(),
        instance_id=None,
        session_seconds=RuntimeConfig().session_timeout_seconds,
        yes=False,
        until_end=until_end,
        web_port=None if no_web else web_port,
        log_level=file.configuration.cli_settings.log_level,
        log_format=LogFormat.PLAIN,
        progress_seconds=progress_seconds,
        drain_seconds=RuntimeConfig().shutdown_drain_seconds,
    )
    if workers is not None:
        supervise(options, workers)
    else:
        work(options, None)


app.command()(assemble)
app.command("save")(save_pipeline)
app.command()(execute)


def _row(name: str, declared: DeclaredPipeline) -> tuple[str, ...]:
    stages = (one.shown for one in declared.stages)
    return name, declared.reads, " > ".join(stages), declared.writes
