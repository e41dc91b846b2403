"""Warns on standard error of what is no fault."""

import logging
from collections.abc import Sequence

import typer

from streamapp.observability.logs import log_line

_MOST = 20
"""So many sentences are shown."""


def warn(sentences: Sequence[str]) -> None:
    """Print each sentence on standard error; of very many, some."""
    for sentence in sentences[:_MOST]:
        _print(sentence)
    if (more := len(sentences) - _MOST) > 0:
        _print(f"and {more:,} more such warnings")


def _print(sentence: str) -> None:
    typer.echo(log_line(f"streamapp: {sentence}", logging.WARNING), err=True)
