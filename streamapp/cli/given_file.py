"""Reads a file that a command is given, or standard input."""

import sys
from pathlib import Path

from streamapp.cli.options import STANDARD_INPUT
from streamapp.configuration.file import read_bytes
from streamapp.configuration.located_json import MOST_BYTES


def given_bytes(name: str) -> tuple[Path, bytes]:
    """The name of a file for messages, and its content; `-` is standard input.

    Raises:
        ConfigurationError: it cannot be read.
    """
    if name == STANDARD_INPUT:
        return Path("standard input"), sys.stdin.buffer.read(MOST_BYTES + 1)
    return Path(name), read_bytes(Path(name)) or b""
