"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from streamapp.cli.completion import (
    complete_targets,
)
from streamapp.cli.output_format import OutputFormat
from streamapp.cli.variables import (
    CONFIG_VARIABLE,
    HOST_VARIABLE,
    OPEN_VARIABLE,
    PORT_VARIABLE,
    TOKEN_VARIABLE,
)
from streamapp.configuration.names import PACKAGES_OPTION, PACKAGES_VARIABLE
from streamapp.observability.logs import LogFormat

STANDARD_INPUT = "-"
"""Names standard input where a command is given a file."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar=CONFIG_VARIABLE,
        show_envvar=False,
        help="The configuration file.  [default: atomic_data_config.json, if there is one]",
    ),
]
OutputOption = Annotated[
    OutputFormat | None,
    typer.Option(
        help="Print a table or JSON. By default a table on a terminal, and elsewhere what"
        " cli_settings.output_format says."
    ),
]
AllowPackageOption = Annotated[
    list[str] | None,
    typer.Option(
        PACKAGES_OPTION,
        metavar="NAME",
        help="A package from which agents of the configuration file may be imported; repeatable,"
        f" beside those of {PACKAGES_VARIABLE}.",
    ),
]
ExplainOption = Annotated[
    bool,
    typer.Option(
        "--explain", help="Show every candidate of every stage, its figures and the reason."
    ),
]
SaveOption = Annotated[
    bool,
    typer.Option("--save", help="Save the change even where cli_settings.auto_save is false."),
]
BootstrapServersOption = Annotated[
    str | None,
    typer.Option(
        help="Kafka's address as host:port, several separated by commas."
        " By default STREAMAPP_KAFKA_BOOTSTRAP_SERVERS, else 127.0.0.1:9092.",
    ),
]
TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:PIPELINE",
        autocompletion=complete_targets,
        help="A Pipeline or a Bundle, or a function that returns one, such as my_module:pipeline;"
        " or a pipeline of a configuration file, as FILE.json#NAME.",
    ),
]
LogLevelOption = Annotated[
    str, typer.Option(help="DEBUG, INFO, WARNING, ERROR or CRITICAL; logs go to stderr.")
]
LogFormatOption = Annotated[
    LogFormat, typer.Option(help="Format of log lines, and of all other lines that are printed.")
]
ProgressSecondsOption = Annotated[
    float,
    typer.Option(min=0.1, help="Seconds between lines of progress if stdout is not a terminal."),
]
UntilEndOption = Annotated[
    bool, typer.Option("--until-end", help="Stop at the current end of the topics.")
]
WebPortOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=65535,
        envvar=PORT_VARIABLE,
        help="Port of metrics, health and status; 0 takes any free port.",
    ),
]
WebHostOption = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        envvar=HOST_VARIABLE,
        help="Address of the web server; 0.0.0.0 takes all of this machine. Beyond 127.0.0.1 it"
        f" needs a token in {TOKEN_VARIABLE}, or --web-open.",
    ),
]
WebOpenOption = Annotated[
    bool,
    typer.Option(
        "--web-open",
        envvar=OPEN_VARIABLE,
        help="Answer probes and scrapes without a token: /livez, /readyz, /healthz and /metrics.",
    ),
]
NoWebOption = Annotated[bool, typer.Option("--no-web", help="Serve no metrics, health or status.")]
