"""Reads the configuration file for a command."""

import os
from collections.abc import Iterable
from pathlib import Path

from streamapp.cli.environment import refuse_unknown_settings
from streamapp.cli.import_path import put_current_directory_first
from streamapp.configuration.file import CheckedFile, ConfigurationFile, read_with_faults
from streamapp.observability.logs import configure_logging, current_format


def configured(
    path: Path | None, packages: Iterable[str] = (), *, may_be_new: bool = False
) -> ConfigurationFile:
    """Read the file, and log as it says.

    If packages are allowed, they may be in the current directory.

    Args:
        path: the file; `None` for that of the current directory, if there is one.
        packages: packages that may be imported, beside those that the environment allows.
        may_be_new: whether a file that is given may be missing, since the command saves it.

    Raises:
        ConfigurationError: the file or a variable of the environment is wrong.
    """
    return configured_with_faults(path, packages, may_be_new=may_be_new).right()


def configured_with_faults(
    path: Path | None, packages: Iterable[str] = (), *, may_be_new: bool = False
) -> CheckedFile:
    """The same of a file that may have faults; arguments as of `configured`.

    Raises:
        ConfigurationError: the file cannot be read, or is no JSON.
    """
    refuse_unknown_settings(os.environ)
    file = read_with_faults(path, packages=packages, may_be_new=may_be_new)
    if (right := file.checked.right) is not None:
        configure_logging(right.cli_settings.log_level, current_format())
        if right.allowed_packages:
            put_current_directory_first()
    return file
