"""Prints the lines of a command: text, or JSON objects where the log has JSON lines."""

import logging

import typer

from streamapp.observability.exception_text import describe_exception
from streamapp.observability.logs import LogFormat, current_format, log_line

_BUG = "streamapp: this is a bug in streamapp; please report it"


def say(line: str) -> None:
    """Print a line to stdout."""
    typer.echo(log_line(line))


def say_failure(sentence: str) -> None:
    """Print to stderr why a command fails."""
    typer.echo(failure_line(sentence), err=True)


def say_bug(error: BaseException) -> None:
    """Print to stderr that an error is not one of ours, and where it was raised."""
    told = describe_exception(error)
    if current_format() is LogFormat.JSON:
        typer.echo(log_line(_BUG, logging.CRITICAL, exception=told), err=True)
    else:
        typer.echo(f"{told}\n{_BUG}", err=True)


def failure_line(sentence: str) -> str:
    """The line that says why a command fails."""
    return log_line(f"streamapp: {sentence}", logging.ERROR)
