"""Options that several commands share are declared once, and each command has them."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from streamapp.cli.option_groups import with_option_groups


@dataclass(frozen=True)
class Which:
    """Some records."""

    key: Annotated[list[str] | None, typer.Option("--key", help="Only this key.")] = None
    limit: Annotated[int, typer.Option(min=1, help="So many.")] = 7


app = typer.Typer(rich_markup_mode=None)


@app.command()
@with_option_groups
def show(name: str, *, which: Which, loud: bool = False) -> None:
    """Show records."""
    typer.echo(f"{name} {which} {loud}")


@app.command()
@with_option_groups
def count(*, which: Which) -> None:
    """Count records."""
    typer.echo(f"{which.limit}")


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output.strip()


def test_a_command_gets_the_options_of_a_group_together() -> None:
    assert said("show", "a") == "a Which(key=None, limit=7) False"
    assert said("show", "--key", "k", "--key", "l", "a", "--limit", "2", "--loud") == (
        "a Which(key=['k', 'l'], limit=2) True"
    )
    assert said("count", "--limit", "3") == "3"


@pytest.mark.parametrize("command", ["show", "count"])
def test_the_help_of_each_command_has_the_options_of_the_group(command: str) -> None:
    told = said(command, "--help")
    assert "Only this key." in told
    assert "So many." in told
    assert "default: 7" in told
    assert "records." in told


def test_what_an_option_of_a_group_refuses_is_refused() -> None:
    done = CliRunner().invoke(app, ["count", "--limit", "0"])
    assert done.exit_code == 2
    assert "--limit" in done.output
