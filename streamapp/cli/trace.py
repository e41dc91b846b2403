"""`streamapp trace`: follows one record through the stages of its pipelines."""

from typing import Annotated

import typer

from streamapp.cli.completion import complete_targets
from streamapp.cli.options import (
    AllowPackageOption,
    BootstrapServersOption,
    ConfigOption,
    OutputOption,
)


def trace(
    address: Annotated[
        str,
        typer.Argument(
            metavar="TOPIC:PARTITION:OFFSET",
            help="The record: of a source, between stages, of a sink, or a dead letter, a retry or"
            " a replay.",
        ),
    ],
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODULE:PIPELINE",
            autocompletion=complete_targets,
            help="The pipelines or bundles whose stages may have read or written it. By default"
            " those of the configuration file.",
        ),
    ] = None,
    *,
    show_payload: Annotated[
        bool,
        typer.Option(
            "--show-payload",
            help="Show keys and values too, in JSON contents of headers as well: they may be"
            " secret.",
        ),
    ] = False,
    max_records: Annotated[
        int, typer.Option(min=1, help="Read at most so many records, of all topics together.")
    ] = 10_000_000,
    max_seconds: Annotated[
        float, typer.Option(min=0.1, help="Read for at most so many seconds.")
    ] = 60.0,
    web_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask the worker or supervisor at this address why a record waits, instead of those"
            " that the saved runs name.",
        ),
    ] = None,
    config: ConfigOption = None,
    allow_package: AllowPackageOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = None,
) -> None:
    """Follow one record: which stages have finished it, what they made of it, where it waits.

    It looks in Kafka, so no worker needs to run; it joins no group, and changes nothing. Topics are
    read from the time of the record on.
    """
    from streamapp.cli.shown_trace import Asked, print_trace

    asked = Asked(
        address=address,
        targets=targets or (),
        packages=allow_package or (),
        max_records=max_records,
        max_seconds=max_seconds,
        web_url=web_url,
        config=config,
        bootstrap_servers=bootstrap_servers,
    )
    print_trace(asked, show_payload=show_payload, output=output)
