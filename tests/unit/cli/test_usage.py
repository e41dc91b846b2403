"""What the command line itself refuses: before anything is imported, opened or connected."""

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.main import app


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("demo --records many", "Invalid value for '--records'"),
        ("demo --records 0", "Invalid value for '--records'"),
        ("demo --rate 0", "Invalid value for '--rate'"),
        ("demo --seconds -1", "Invalid value for '--seconds'"),
        ("demo --web-port 70000", "Invalid value for '--web-port'"),
        ("demo --forever --records 5", "--forever cannot be combined with"),
        ("generate", "give --records, --seconds or --forever"),
        ("generate --records 1.5", "Invalid value for '--records'"),
        ("run", "Missing argument 'MODULE:PIPELINE'"),
        ("plan", "Missing argument 'MODULE:PIPELINE'"),
        ("run a:b --log-format xml", "Invalid value for '--log-format'"),
        ("run a:b --progress-seconds 0", "Invalid value for '--progress-seconds'"),
        ("topics apply --partitions 0", "Invalid value for '--partitions'"),
        ("nonsense", "No such command 'nonsense'"),
        ("demo --nonsense", "No such option: --nonsense"),
    ],
)
def test_a_wrong_command_line_is_told(command: str, sentence: str) -> None:
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == ExitCode.USAGE
    assert done.stdout == ""
    [last] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert sentence in last


@pytest.mark.parametrize(
    "command", ["", "demo", "run", "plan", "generate", "topics", "topics apply"]
)
def test_every_command_explains_itself(command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--help"])
    assert done.exit_code == ExitCode.OK
    assert "Usage: " in done.stdout


def test_the_version_is_one_line() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == ExitCode.OK
    assert done.stdout == f"streamapp {version('streamapp')}\n"
    assert done.stderr == ""
