"""Runs commands in this process, in a working directory with a configuration file."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.main import app, exit_code_of
from streamapp.errors import StreamappError

FILE = Path("atomic_data_config.json")


def write(content: dict[str, Any] | bytes) -> None:
    """Write the configuration file."""
    FILE.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def run(command: str, given: str | None = None) -> Result:
    """Run a command, with this on its standard input."""
    return CliRunner().invoke(app, command.split(), input=given)


def printed(command: str, given: str | None = None) -> Any:
    """The JSON that a command prints, which has to succeed."""
    result = run(command, given)
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def refusal(command: str, given: str | None = None) -> str:
    """The message of a command that ends with the code of a wrong configuration."""
    error = run(command, given).exception
    assert isinstance(error, StreamappError), error
    assert exit_code_of(error) is ExitCode.CONFIGURATION
    return str(error)
