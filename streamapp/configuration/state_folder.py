"""The folder for what is remembered between runs, such as scores of agents and saved runs."""

import os
from collections.abc import Mapping
from pathlib import Path

STATE_VARIABLE = "STREAMAPP_STATE_FOLDER"
"""Environment variable with another folder."""

FOLDER_NAME = ".streamapp"
"""Name of the folder beside the configuration file."""


def state_folder(configuration_file: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Where state belongs that goes with a configuration file; the folder may not exist yet.

    Several processes share it: write by `atomic_file`, one file for each kind of state.

    Args:
        configuration_file: the file, which may be missing; a link stands for what it links to.
        environment: variables; by default those of this process.
    """
    variables = os.environ if environment is None else environment
    if chosen := variables.get(STATE_VARIABLE, "").strip():
        return Path(chosen).expanduser()
    return configuration_file.resolve().parent / FOLDER_NAME
