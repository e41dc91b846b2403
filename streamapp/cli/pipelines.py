"""`streamapp pipelines`: lists, shows, changes and runs pipelines of the configuration file."""

from typing import Annotated

import typer

from streamapp.cli.assemble_pipelines import assemble, remove, save_pipeline
from streamapp.cli.completion import complete_pipelines
from streamapp.cli.execute import execute
from streamapp.cli.options import (
    AllowPackageOption,
    BootstrapServersOption,
    ConfigOption,
    ExplainOption,
    LogFormatOption,
    NoWebOption,
    OutputOption,
    ProgressSecondsOption,
    UntilEndOption,
    WebHostOption,
    WebOpenOption,
    WebPortOption,
)
from streamapp.cli.variables import DEFAULT_PORT
from streamapp.observability.logs import LogFormat

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
    from streamapp.cli.shown_pipelines import print_pipelines

    print_pipelines(config=config, output=output)


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
    from streamapp.cli.shown_pipelines import print_plan

    print_plan(
        name=name, config=config, explain=explain, allow_package=allow_package, output=output
    )


@app.command()
def run(  # noqa: PLR0913 - one parameter is one option
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
    web_host: WebHostOption = "127.0.0.1",
    web_open: WebOpenOption = False,
    no_web: NoWebOption = False,
    progress_seconds: ProgressSecondsOption = 10.0,
    log_format: LogFormatOption = LogFormat.PLAIN,
) -> None:
    """Run a pipeline, or those of a bundle, on Kafka until it is stopped.

    It is the same as `streamapp run FILE.json#NAME`, which has further options.
    """
    from streamapp.cli.shown_pipelines import run_declared

    run_declared(
        name=name,
        config=config,
        explain=explain,
        allow_package=allow_package,
        bootstrap_servers=bootstrap_servers,
        workers=workers,
        until_end=until_end,
        web_port=None if no_web else web_port,
        web_host=web_host,
        web_open=web_open,
        progress_seconds=progress_seconds,
        log_format=log_format,
    )


app.command()(assemble)
app.command("save")(save_pipeline)
app.command()(remove)
app.command()(execute)
