"""Prints what `streamapp doctor` has found."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import typer

from streamapp.cli.configured import configured
from streamapp.cli.diagnosis import Check, diagnose
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.output import chosen_format, print_json
from streamapp.cli.output_format import OutputFormat
from streamapp.configuration.printable import printable
from streamapp.configuration.sections import CliSettings
from streamapp.configuration.state_folder import state_folder
from streamapp.errors import ConfigurationError
from streamapp.observability.logs import configure_logging

VERSION = 1
_WORDS = {True: "well", None: "look", False: "wrong"}


def print_doctor(
    *,
    target: str | None,
    config: Path | None,
    packages: Collection[str],
    bootstrap_servers: str | None,
    output: OutputFormat | None,
) -> None:
    """Check everything, and print each finding with what to do.

    Raises:
        Exit: something is wrong.
    """
    configure_logging("ERROR")  # what is warned of elsewhere is told as a finding
    try:
        file = configured(config)
    except ConfigurationError as error:  # a fault of the file, or a variable that is no setting
        settings, checks = CliSettings(), [Check("settings", ok=False, told=str(error))]
    else:
        settings, state = file.configuration.cli_settings, state_folder(file.path)
        checks = list(diagnose(target, packages, bootstrap_servers, state))
    if chosen_format(settings, output) is OutputFormat.JSON:
        print_json({"version": VERSION, "checks": [asdict(one) for one in checks]})
    else:
        for one in checks:
            typer.echo(printable(f"{_WORDS[one.ok]:<6} {one.what}: {one.told}"))
            if one.fix:
                typer.echo(printable(f"       {one.fix}"))
    if any(one.ok is False for one in checks):
        raise typer.Exit(ExitCode.FAILURE)
