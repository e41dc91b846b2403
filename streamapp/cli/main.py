"""The `streamapp` command."""

import sys

import typer

from streamapp.brokers.dev.errors import PortInUseError
from streamapp.cli import broker
from streamapp.cli.exit_codes import ExitCode
from streamapp.errors import ConfigurationError, StreamappError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Typed Python agents between Kafka topics.",
)
app.add_typer(broker.app, name="broker")


@app.callback()
def _root() -> None:
    """Typed Python agents between Kafka topics."""


def main() -> None:
    """Run a command; what goes wrong on purpose ends it with one sentence and an exit code."""
    try:
        app()
    except StreamappError as error:
        typer.echo(f"streamapp: {error}", err=True)
        sys.exit(exit_code_of(error))


def exit_code_of(error: StreamappError) -> ExitCode:
    """The exit code that says what kind of error it was."""
    match error:
        case PortInUseError():
            return ExitCode.PORT_IN_USE
        case ConfigurationError():
            return ExitCode.CONFIGURATION
        case _:
            return ExitCode.FAILURE
