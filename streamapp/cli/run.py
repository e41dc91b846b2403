"""`streamapp run`: runs the stages of a pipeline on Kafka, in this process or in several."""

from typing import Annotated

import typer

from streamapp.cli.completion import complete_stages
from streamapp.cli.options import (
    AllowPackageOption,
    BootstrapServersOption,
    LogFormatOption,
    LogLevelOption,
    NoWebOption,
    ProgressSecondsOption,
    TargetArgument,
    UntilEndOption,
    WebHostOption,
    WebOpenOption,
    WebPortOption,
)
from streamapp.cli.run_options import START_SECONDS, RunOptions
from streamapp.cli.variables import DEFAULT_PORT, INSTANCE_VARIABLE, STALL_VARIABLE, START_VARIABLE
from streamapp.observability.logs import LogFormat, configure_logging
from streamapp.runtime.config import RuntimeConfig


def run(  # noqa: PLR0913 - one parameter is one option
    target: TargetArgument,
    *,
    allow_package: AllowPackageOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            help="Run only this stage; repeatable. Other workers run the other stages.",
            autocompletion=complete_stages,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help="Number of worker processes to run; a worker that ends is started again. Without"
            " this option, this process is the only worker.",
        ),
    ] = None,
    instance_id: Annotated[
        str | None,
        typer.Option(
            envvar=INSTANCE_VARIABLE,
            help="Name of this worker as a static member of its consumer groups, unique among the"
            " workers: a restart within the session timeout then causes no rebalance. With"
            " --workers, -0, -1 and so on are appended to it.",
        ),
    ] = None,
    session_seconds: Annotated[
        float,
        typer.Option(
            min=6,  # the limits of Kafka's default configuration
            max=1800,
            help="Session timeout: a worker that sends no heartbeat for this long loses its"
            " partitions.",
        ),
    ] = RuntimeConfig().session_timeout_seconds,
    start_seconds: Annotated[
        float,
        typer.Option(
            min=10,
            envvar=START_VARIABLE,
            help="With --workers: a worker that is not up after this time is killed and started"
            " again.",
        ),
    ] = START_SECONDS,
    stall_seconds: Annotated[
        float,
        typer.Option(
            min=1,
            envvar=STALL_VARIABLE,
            help="A stage that has lag and finishes no record for this long is stalled, and /livez"
            " asks for a restart; records that wait for their next attempt do not count.",
        ),
    ] = RuntimeConfig().stall_after_seconds,
    until_end: UntilEndOption = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Start stages without offsets at the beginning of their topics, even if Kafka has"
            " offsets of stages that are not declared: no stage was renamed.",
        ),
    ] = False,
    web_port: WebPortOption = DEFAULT_PORT,
    web_host: WebHostOption = "127.0.0.1",
    web_open: WebOpenOption = False,
    no_web: NoWebOption = False,
    log_level: LogLevelOption = "INFO",
    log_format: LogFormatOption = LogFormat.PLAIN,
    progress_seconds: ProgressSecondsOption = 10.0,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, help="Drain deadline: longest wait, on a stop, for work in flight."),
    ] = RuntimeConfig().shutdown_drain_seconds,
    supervised_by: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a pipeline on Kafka until it is stopped.

    On SIGTERM or Ctrl-C it finishes what is in flight, commits and exits with 0.
    """
    configure_logging(log_level, log_format)
    options = RunOptions(
        target=target,
        packages=tuple(allow_package or ()),
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
        web_host=web_host,
        web_open=web_open,
        start_seconds=start_seconds,
        stall_seconds=stall_seconds,
    )
    if workers is not None:
        from streamapp.cli.workers import supervise

        supervise(options, workers)
    else:
        from streamapp.cli.work import work

        work(options, supervised_by)
