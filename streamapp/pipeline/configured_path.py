"""Paths of files in the configurations of agents."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

FOLDER = "folder"
"""Key in the context of a validation: the folder in which relative paths begin."""


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get(FOLDER)
    return path if folder is None else Path(folder) / path


ConfiguredPath = Annotated[Path, AfterValidator(_from_folder)]
"""The path of a file, in the configuration of an agent.

A relative one begins in the folder of the configuration file that declares the agent, and in the
working directory if none does.
"""
