"""A group of commands whose modules are imported when a command is called, or asked for its help.

One command needs little of what all of them import, and a shell that completes names waits. So a
module that declares commands holds their parameters, and what does the work of a command stands in
another module, which the command imports when it is called.
"""

import importlib
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


class LazyGroup(TyperGroup):
    """Lists its commands by what stands for them, and loads the one that is called.

    A command `name` is in module `streamapp.cli.<name>`: a function of that name, or for a group of
    commands a `typer.Typer` called `app`.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the arguments call."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and load(str(name)), rest


def load(name: str) -> Any:
    """Import a command."""
    module = importlib.import_module(f"streamapp.cli.{name}")
    holder = typer.Typer(rich_markup_mode=None, callback=_root)
    if group := getattr(module, "app", None):
        holder.add_typer(group, name=name)
    else:
        holder.command(name)(getattr(module, name))
    return get_group(holder).commands[name]


def _root() -> None:
    """Have a group made, though it has one command."""
