"""Warns on standard error of what is no fault."""

from collections.abc import Sequence

import typer

_MOST = 20
"""So many sentences are shown."""


def warn(sentences: Sequence[str]) -> None:
    """Print each sentence on standard error; of very many, some."""
    for sentence in sentences[:_MOST]:
        typer.echo(f"streamapp: {sentence}", err=True)
    if (more := len(sentences) - _MOST) > 0:
        typer.echo(f"streamapp: and {more:,} more such warnings", err=True)
