"""Saves a change of the configuration file, or says what would be saved."""

from collections.abc import Mapping
from typing import Any

import typer

from streamapp.configuration.file import ConfigurationFile
from streamapp.configuration.saving import save_configuration


def save_change(file: ConfigurationFile, data: Mapping[str, Any], *, save: bool) -> bool:
    """Save other data in the place of those of a file, if a command is to save.

    Args:
        file: what was read.
        data: the whole content, checked.
        save: whether the command line asks for it; otherwise `cli_settings.auto_save` decides.

    Returns:
        Whether it was saved.

    Raises:
        ConfigurationError: it cannot be saved; the file is as it was.
    """
    if save or file.configuration.cli_settings.auto_save:
        save_configuration(file, data)
        return True
    typer.echo(
        f"streamapp: {file.path} is as it was, since cli_settings.auto_save is false; give --save"
        " to save this",
        err=True,
    )
    return False
