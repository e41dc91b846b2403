"""The `streamapp` command."""

import sys
from typing import Annotated

import typer

from streamapp.cli.escaped import exit_without_text, log_what_escapes
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.lazy_group import LazyGroup
from streamapp.errors import (
    BrokerError,
    ConfigurationError,
    DrainTimeoutError,
    OffsetOutOfRangeError,
    PortInUseError,
    RenamedStageError,
    StageStoppedError,
    StreamappError,
    UnreadableRecordError,
)
from streamapp.local_kafka import errors as dev_errors
from streamapp.version import VERSION

_CODES: tuple[tuple[type[StreamappError], ExitCode], ...] = (
    (PortInUseError, ExitCode.PORT_IN_USE),
    (dev_errors.PortInUseError, ExitCode.PORT_IN_USE),
    (RenamedStageError, ExitCode.STAGE_RENAMED),
    (ConfigurationError, ExitCode.CONFIGURATION),
    (StageStoppedError, ExitCode.STAGE_STOPPED),
    (DrainTimeoutError, ExitCode.DRAIN_TIMEOUT),
    (dev_errors.DevBrokerError, ExitCode.FAILURE),
    (OffsetOutOfRangeError, ExitCode.POSITION_LOST),
    (UnreadableRecordError, ExitCode.RECORD_UNREADABLE),
    (BrokerError, ExitCode.BROKER_UNREACHABLE),
    (StreamappError, ExitCode.FAILURE),
)
"""The first entry whose type matches the error counts."""

COMMANDS = {
    "demo": "Run the playback pipeline in this process, without Kafka and without a network.",
    "run": "Run a pipeline on Kafka until it is stopped.",
    "plan": "Show stages, agents, topics and settings of a pipeline, and what it promises; needs no"
    " Kafka.",
    "status": "Show each stage of pipelines that run, or as their last run has left them.",
    "lag": "Show how far every stage is behind the end of its topics, whether it runs or not.",
    "trace": "Follow one record: which stages have finished it, what they made of it, where it"
    " waits.",
    "exporter": "Serve lag, members and dead letters of stages as metrics, running or not.",
    "doctor": "Check settings, versions, Kafka, topics and groups; says what to do about each"
    " finding.",
    "generate": "Write playback events to Kafka.",
    "agents": "Find and change agents of the configuration file.",
    "config": "Show and check the configuration file, and what is made of it.",
    "pipelines": "Assemble, show and run pipelines of the configuration file.",
    "topics": "List the topics on Kafka, or create the declared ones.",
    "dlq": "Find dead letters, send them back to their stages, or discard them.",
    "dashboards": "Show the dashboards for Grafana, and write their files.",
    "broker": "A real Apache Kafka on this machine, for development.",
}
"""All commands, and the first sentence of the help of each."""

app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # errors are plain sentences, not boxes
    help="Typed Python agents between Kafka topics.",
)


def _not_loaded() -> None:
    """Stand for a command until it is called."""


for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_not_loaded)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"streamapp {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Typed Python agents between Kafka topics."""


def main() -> None:
    """Run a command; an error of our own ends it with one sentence and an exit code."""
    log_what_escapes()
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the last place to report it
        cause = _single(error)
        from streamapp.cli.say import say_bug, say_failure
        from streamapp.observability.exception_text import sentence_of

        if isinstance(cause, StreamappError):
            say_failure(sentence_of(cause))
            sys.exit(exit_code_of(cause))
        say_bug(cause)
        sys.exit(ExitCode.BUG)
    except BaseException as ended:  # noqa: BLE001 - the last place to report it
        exit_without_text(ended)


def exit_code_of(error: StreamappError) -> ExitCode:
    """The exit code for this kind of error."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def _single(error: Exception) -> Exception:
    """The first error of a group of tasks, which cancelled the others."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
