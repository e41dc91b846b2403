"""`streamapp exporter`: metrics of stages by what Kafka says, whether they run or not."""

from typing import Annotated

import typer

from streamapp.cli.completion import complete_targets
from streamapp.cli.options import (
    AllowPackageOption,
    BootstrapServersOption,
    LogFormatOption,
    LogLevelOption,
    WebHostOption,
    WebOpenOption,
)
from streamapp.cli.variables import EXPORTER_PORT, EXPORTER_PORT_VARIABLE
from streamapp.observability.logs import LogFormat, configure_logging


def exporter(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE:PIPELINE...",
            autocompletion=complete_targets,
            help="The pipelines and bundles to watch; none of their agents is opened or called.",
        ),
    ],
    *,
    allow_package: AllowPackageOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    interval_seconds: Annotated[
        float,
        typer.Option(
            min=0.1, help="Time between two looks; dead letters are counted at every fourth."
        ),
    ] = 15.0,
    web_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            envvar=EXPORTER_PORT_VARIABLE,
            help="Port of metrics and health; 0 takes any free port.",
        ),
    ] = EXPORTER_PORT,
    web_host: WebHostOption = "127.0.0.1",
    web_open: WebOpenOption = False,
    log_level: LogLevelOption = "INFO",
    log_format: LogFormatOption = LogFormat.PLAIN,
) -> None:
    """Serve lag, members and dead letters of stages as metrics, running or not.

    Kafka is asked, not the workers. While it does not answer, nothing is told that is not known,
    and /healthz is 503. It is in no group of a stage, and changes nothing.
    """
    configure_logging(log_level, log_format)
    from streamapp.cli.outside import ExporterOptions, export

    export(
        ExporterOptions(
            targets=tuple(targets),
            packages=tuple(allow_package or ()),
            bootstrap_servers=bootstrap_servers,
            interval_seconds=interval_seconds,
            web_port=web_port,
            web_host=web_host,
            web_open=web_open,
        )
    )
