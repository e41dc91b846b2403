"""`streamapp run`: the stages of a pipeline at work on Kafka, in this process or in several."""

from typing import Annotated

import typer

from streamapp.cli.options import (
    BootstrapServersOption,
    LogFormatOption,
    LogLevelOption,
    ProgressSecondsOption,
    TargetArgument,
)
from streamapp.cli.run_options import INSTANCE_VARIABLE, RunOptions
from streamapp.cli.serving import DEFAULT_PORT, PORT_VARIABLE
from streamapp.cli.work import work
from streamapp.cli.workers import supervise
from streamapp.observability.logs import LogFormat, configure_logging
from streamapp.runtime.config import RuntimeConfig


def run(  # noqa: PLR0913 - one parameter is one option
    target: TargetArgument,
    *,
    bootstrap_servers: BootstrapServersOption = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(help="Run this stage only; repeatable. Others run in other workers."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help="Run so many worker processes and start again those that end; without it,"
            " this process is the worker.",
        ),
    ] = None,
    instance_id: Annotated[
        str | None,
        typer.Option(
            envvar=INSTANCE_VARIABLE,
            help="Be a static member of the consumer groups under this name, which no other"
            " worker may have: a restart within the session is no rebalance. Several workers"
            " get -0, -1 and so on after it.",
        ),
    ] = None,
    session_seconds: Annotated[
        float,
        typer.Option(
            min=6,  # Kafka grants no less, and no more, unless it is configured otherwise
            max=1800,
            help="A worker that is not heard of for so long loses its partitions.",
        ),
    ] = RuntimeConfig().session_timeout_seconds,
    until_end: Annotated[
        bool,
        typer.Option("--until-end", help="Work up to the records that are there now, then end."),
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Start stages without offsets at the beginning of their topics, even if Kafka"
            " remembers stages that are not declared: they are not renamed.",
        ),
    ] = False,
    web_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            envvar=PORT_VARIABLE,
            help="Port of metrics, health and status on 127.0.0.1; 0 is any.",
        ),
    ] = DEFAULT_PORT,
    no_web: Annotated[
        bool, typer.Option("--no-web", help="Serve no metrics, health and status.")
    ] = False,
    log_level: LogLevelOption = "INFO",
    log_format: LogFormatOption = LogFormat.PLAIN,
    progress_seconds: ProgressSecondsOption = 10.0,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, help="How long work in flight may take to finish when stopped."),
    ] = RuntimeConfig().shutdown_drain_seconds,
    supervised_by: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a pipeline on Kafka until it is stopped.

    SIGTERM or Ctrl-C finishes what is in flight, commits and ends with 0.
    """
    configure_logging(log_level, log_format)
    options = RunOptions(
        target=target,
        bootstrap_servers=bootstrap_servers,
        stages=tuple(stage or ()),
        instance_id=instance_id,
        session_seconds=session_seconds,
        yes=yes,
        until_end=until_end,
        web_port=None if no_web else web_port,
        log_level=log_level,
        log_format=log_format,
        progress_seconds=progress_seconds,
        drain_seconds=drain_seconds,
    )
    if workers is not None:
        supervise(options, workers)
    else:
        work(options, supervised_by)
