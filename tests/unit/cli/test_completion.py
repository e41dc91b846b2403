"""Names are completed as a shell asks for them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamapp.cli.main import app
from tests.unit.cli.commands import write
from tests.unit.configuration.hostile import AGENT

pytestmark = pytest.mark.usefixtures("folder")

STAGES = [{"capability": "data_validation"}, {"agent": "once", "name": "last"}]
FILE = {
    "data_agents": {"once": AGENT, "other": AGENT},
    "data_pipelines": {
        "orders": {
            "source": ["orders", {"topic": "others"}, {"pattern": "o.*"}],
            "stages": STAGES,
        }
    },
}


def completed(line: str) -> list[str]:
    """What bash is told at the end of a command line."""
    words = line.split(" ")
    env = {
        "_STREAMAPP_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    result = CliRunner().invoke(app, [], prog_name="streamapp", env=env)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("streamapp agents show o", ["once", "other"]),
        ("streamapp agents show st", ["stream_processor"]),
        ("streamapp agents unregister ", ["once", "other"]),
        ("streamapp agents list --capability data_v", ["data_validation"]),
        ("streamapp agents suggest data_validation stream_", ["stream_processing"]),
        ("streamapp pipelines show ", ["orders"]),
        ("streamapp pipelines execute or", ["orders"]),
        ("streamapp pipelines remove or", ["orders"]),
        ("streamapp pipelines execute orders --source o", ["orders", "others"]),
        ("streamapp pipelines assemble data_validation data_e", ["data_enrichment"]),
        ("streamapp pipelines assemble --pin 2=on", ["2=once"]),
        ("streamapp pipelines assemble --exclude on", ["once"]),
        ("streamapp status or", ["orders"]),
        ("streamapp run atomic_data_config.json#", ["atomic_data_config.json#orders"]),
        ("streamapp run atomic", ["atomic_data_config.json#"]),
        ("streamapp run atomic_data_config.json#orders --stage ", ["data_validation", "last"]),
    ],
)
def test_names_are_completed(line: str, names: list[str]) -> None:
    write(FILE)
    assert completed(line) == names


def test_the_file_that_was_named_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write(FILE)
    Path("mine.json").write_text('{"data_pipelines": {"mine": {}}}')
    assert completed("streamapp pipelines show --config mine.json ") == ["mine"]
    monkeypatch.setenv("STREAMAPP_CONFIG_FILE", "mine.json")
    assert completed("streamapp pipelines show ") == ["mine"]


@pytest.mark.parametrize("content", [b"{", b"[3]", b'{"data_pipelines": 3}', b"\xff\xfe"])
def test_what_is_wrong_with_the_file_means_no_names(content: bytes) -> None:
    write(content)
    assert completed("streamapp pipelines show ") == []
    assert completed("streamapp run atomic_data_config.json#orders --stage ") == []


def test_without_a_file_what_ships_is_completed() -> None:
    assert completed("streamapp agents show data") == ["data_transformer"]
    assert completed("streamapp pipelines show ") == []
