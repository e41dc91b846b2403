"""The options that say which dead letters a command is about."""

from dataclasses import dataclass
from typing import Annotated

import typer

from streamapp.cli.completion import complete_stages
from streamapp.cli.options import AllowPackageOption, BootstrapServersOption


@dataclass(frozen=True, slots=True)
class LetterOptions:
    """Which dead letters a command is about, as they stand on the command line.

    Attributes:
        topic: dead-letter topics.
        pipeline, stage, reason, fingerprint, since, until, key, header: which letters of them.
        allow_package: packages that a configuration file may import from.
        bootstrap_servers: Kafka's address; `None` is that of the environment.
    """

    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", help="Read this dead-letter topic; repeatable."),
    ] = None
    pipeline: Annotated[
        list[str] | None,
        typer.Option("--pipeline", help="Only letters of this pipeline; repeatable."),
    ] = None
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            help="Only letters of this stage; repeatable.",
            autocompletion=complete_stages,
        ),
    ] = None
    reason: Annotated[
        list[str] | None,
        typer.Option("--reason", help="Only letters with this reason, such as decode; repeatable."),
    ] = None
    fingerprint: Annotated[
        list[str] | None,
        typer.Option(
            "--fingerprint", help="Only letters whose fingerprint begins with this; repeatable."
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only what failed since: 2026-11-28T10:00Z, or 2h for ago.",
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="Only what failed before; as --since."),
    ] = None
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", help="Only letters with this key, as text or as base64:BYTES; repeatable."
        ),
    ] = None
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", metavar="NAME[=TEXT]", help="Only letters with this header; repeatable."
        ),
    ] = None
    allow_package: AllowPackageOption = None
    bootstrap_servers: BootstrapServersOption = None


EVERY_LETTER = LetterOptions()
"""Without an option, all letters are meant."""
