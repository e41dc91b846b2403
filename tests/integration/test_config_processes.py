"""Commands over the configuration file in processes of their own, as their users run them."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamapp.cli.exit_codes import ExitCode
from tests.cli import ROOT
from tests.unit.configuration.hostile import AGENT

CHECK = {
    **AGENT,
    "agent_class": "Validator",
    "module_path": "streamapp.agents.validator",
    "capabilities": ["data_validation"],
    "configuration": {"json_schema": {"type": "object"}},
}
PIPELINES = {
    "orders": {
        "source": "orders",
        "sink": "clean",
        "stages": [{"agent": "check"}, {"agent": "own"}],
    }
}
SHOP = """
from streamapp import agent


@agent
def price(value: dict) -> dict:
    return value
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "TERM": "xterm-256color", **more}


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        ("config lint --allow-package shop", {}),
        ("pipelines show orders", {"STREAMAPP_ALLOWED_PACKAGES": "shop"}),
        ("plan atomic_data_config.json#orders --allow-package shop", {}),
    ],
)
def test_agents_of_an_allowed_package_here_are_imported(
    tmp_path: Path, command: str, variables: dict[str, str]
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "prices.py").write_text(SHOP)
    own = {**AGENT, "module_path": "shop.prices", "agent_class": "price", "configuration": {}}
    content = {
        "data_agents": {"check": CHECK, "own": own},
        "data_pipelines": PIPELINES,
    }
    (tmp_path / "atomic_data_config.json").write_text(json.dumps(content))
    ended = subprocess.run(  # noqa: S603 - the installed command
        [Path(sys.executable).parent / "streamapp", *command.split()],
        cwd=tmp_path,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_a_terminal_gets_a_coloured_table_whatever_the_settings_say(tmp_path: Path) -> None:
    content = {"data_agents": {"check": CHECK}, "cli_settings": {"output_format": "json"}}
    (tmp_path / "atomic_data_config.json").write_text(json.dumps(content))
    shown = _on_terminal(tmp_path, environment())
    assert "data_validation" in shown
    assert "\u001b[1;36m" in shown
    assert "36m" not in _on_terminal(tmp_path, environment(NO_COLOR="1"))


def test_on_a_terminal_of_80_columns_no_id_is_broken(tmp_path: Path) -> None:
    agents = [f"an-agent-with-a-name-that-is-quite-long-{n}-{'x' * n}" for n in range(20)]
    content = {"data_agents": {name: CHECK | {"input_schema": "Orders"} for name in agents}}
    (tmp_path / "atomic_data_config.json").write_text(json.dumps(content))
    shown = _on_terminal(tmp_path, environment(COLUMNS="80", NO_COLOR="1"))
    lines = re.sub("\x1b\\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines} >= set(agents)
    assert any(line.endswith("--output json has all)") for line in lines)


def _on_terminal(folder: Path, variables: dict[str, str]) -> str:
    """What `agents list` writes to a terminal."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "streamapp", "agents", "list"],
        stdout=theirs,
        cwd=folder,
        env=variables,
    )
    os.close(theirs)
    found = b""
    try:
        while part := os.read(ours, 65_536):
            found += part
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return found.decode()


def test_a_signal_cancels_an_execution_that_waits_for_input(tmp_path: Path) -> None:
    stages = [{"agent": "check"}]
    content = {
        "data_agents": {"check": CHECK},
        "data_pipelines": {"orders": {"source": "orders", "stages": stages}},
    }
    (tmp_path / "atomic_data_config.json").write_text(json.dumps(content))
    process = subprocess.Popen(
        [sys.executable, "-m", "streamapp", "pipelines", "execute", "orders"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"id": 1}\n')
    process.stdin.flush()
    assert process.stdout.readline() == b'{"id":1}\n'
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == ExitCode.EXECUTION_CANCELLED
    assert b'"status": "cancelled"' in told
