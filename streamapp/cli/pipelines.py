"""`streamapp pipelines`: lists, shows and runs pipelines of the configuration file."""

from typing import Annotated

import typer

from streamapp.cli.configured import configured
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
from streamapp.cli.output import OutputFormat, Report, chosen_format, print_report
from streamapp.cli.plan_json import as_json
from streamapp.cli.plan_text import as_text
from streamapp.cli.run_options import RunOptions
from streamapp.cli.serving import DEFAULT_PORT
from streamapp.cli.work import work
from streamapp.cli.workers import supervise
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.sections import DeclaredPipeline
from streamapp.observability.logs import LogFormat
from streamapp.pipeline.outline import outline_of
from streamapp.pipeline.topology import build
from streamapp.runtime.config import RuntimeConfig

app = typer.Typer(no_args_is_help=True, help="Show and run pipelines of the configuration file.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a pipeline.")]


@app.command("list")
def list_pipelines(config: ConfigOption = None, *, output: OutputOption = None) -> None:
    """List the pipelines by name, as they are declared."""
    configuration = configured(config).configuration
    found = sorted(configuration.data_pipelines.items())
    report = Report(
        [{"name": name, **one.model_dump(mode="json")} for name, one in found],
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
    allow_package: AllowPackageOption = None,
    output: OutputOption = None,
) -> None:
    """Show the plan of a pipeline with the agents that are chosen for it; needs no Kafka."""
    configuration = configured(config, allow_package or ()).configuration
    outline = outline_of(build(assemble_declared(configuration, name).pipeline))
    is_json = chosen_format(configuration.cli_settings, output) is OutputFormat.JSON
    typer.echo(as_json(outline) if is_json else as_text(outline), nl=False)


@app.command()
def run(
    name: NameArgument,
    config: ConfigOption = None,
    *,
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
    """Run a pipeline on Kafka until it is stopped.

    It is the same as `streamapp run FILE.json#NAME`, which has further options.
    """
    file = configured(config, allow_package or ())
    assemble_declared(file.configuration, name)  # faults of a missing file are told as such
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


def _row(name: str, declared: DeclaredPipeline) -> tuple[str, ...]:
    stages = (str(one.agent or one.capability) for one in declared.stages)
    return name, declared.source, " > ".join(stages), declared.sink or ""
