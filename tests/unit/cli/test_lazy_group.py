"""A command imports what it needs, and no more."""

import os
import subprocess
import sys

import pytest
import typer

from streamapp.cli.lazy_group import load
from streamapp.cli.main import COMMANDS

SHOWS_MODULES = """
import atexit, sys
atexit.register(lambda: print("\\n".join(sys.modules), file=sys.stderr))
sys.argv = ["streamapp", *{arguments!r}]
from streamapp.cli.main import main
main()
"""


def imported_by(*arguments: str, **env: str) -> set[str]:
    """Names of all modules that a command has imported when it ends, with these variables."""
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", SHOWS_MODULES.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **env},
    )
    return set(done.stderr.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_shows_the_first_sentence_of_each(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert command.get_short_help_str(limit=1_000) == COMMANDS[name]


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_what_needs_no_command_imports_none(arguments: tuple[str, ...]) -> None:
    found = imported_by(*arguments)
    assert "typer" in found
    assert not found & {"pydantic", "aiokafka", "aiohttp", "prometheus_client", "jsonpath"}
    assert not [one for one in found if one.startswith("streamapp.pipeline")]


@pytest.mark.parametrize("command", ["topics", "plan"])
def test_a_command_for_pipelines_in_modules_needs_no_configuration_file(command: str) -> None:
    found = imported_by(command, "--help")
    assert f"streamapp.cli.{command}" in found
    assert not found & {"aiohttp", "jsonpath", "streamapp.service", "pydantic_ai", "faust"}
    assert "streamapp.configuration.file" not in found


@pytest.mark.parametrize(
    "line",
    [
        "streamapp pip",
        "streamapp pipelines show ",
        "streamapp pipelines assemble ",
        "streamapp agents show ",
        "streamapp status ",
        "streamapp run ",
    ],
)
def test_a_shell_that_completes_names_waits_for_no_work_of_a_command(line: str) -> None:
    found = imported_by(
        _STREAMAPP_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(len(line.split(" ")) - 1),
    )
    assert "streamapp.cli.main" in found
    heavy = {"aiohttp", "faust", "jsonpath", "jsonschema_rs", "prometheus_client", "pydantic_ai"}
    assert not found & heavy
    assert not found & {"streamapp.service", "streamapp.configuration.file"}


@pytest.mark.parametrize(
    "command", ["pipelines", "agents", "status", "run", "dashboards", "dlq", "trace"]
)
def test_help_imports_no_work_of_a_command(command: str) -> None:
    found = imported_by(command, "--help")
    assert f"streamapp.cli.{command}" in found
    assert not found & {"aiohttp", "streamapp.service", "streamapp.configuration.file"}


def test_running_without_a_web_server_needs_no_aiohttp() -> None:
    code = "import sys, streamapp.cli.work; print(*sys.modules)"
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "aiohttp" not in done.stdout.split()


def test_importing_the_package_loads_what_is_used() -> None:
    code = "import sys, streamapp; a = set(sys.modules); streamapp.Topic; print(*a)"
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    found = set(done.stdout.split())
    assert [one for one in found if one.startswith("streamapp")] == ["streamapp"]
    assert typer.__name__ not in found
