"""`streamapp doctor`: checks what a pipeline needs to run, with a fix for each finding."""

from typing import Annotated

import typer

from streamapp.cli.completion import complete_targets
from streamapp.cli.options import (
    AllowPackageOption,
    BootstrapServersOption,
    ConfigOption,
    OutputOption,
)


def doctor(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:PIPELINE",
            autocompletion=complete_targets,
            help="A pipeline or bundle whose topics and groups are checked, too.",
        ),
    ] = None,
    *,
    config: ConfigOption = None,
    allow_package: AllowPackageOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = None,
) -> None:
    """Check settings, versions, Kafka, topics and groups; says what to do about each finding.

    Nothing is changed. It ends with 1 if something is wrong.
    """
    from streamapp.cli.shown_doctor import print_doctor

    print_doctor(
        target=target,
        config=config,
        packages=allow_package or (),
        bootstrap_servers=bootstrap_servers,
        output=output,
    )
