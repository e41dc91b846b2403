"""Completes names in the shell: of agents, pipelines, capabilities, stages and topics.

The file is only parsed, not checked, and nothing is imported from it: a shell waits for the answer.
Whatever is wrong with it is the matter of the command, so here it means no names.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from streamapp.cli.variables import CONFIG_VARIABLE
from streamapp.configuration.names import FILE_NAME
from streamapp.pipeline.capability import Capability

_MOST_BYTES = 16 * 1024 * 1024
"""A larger file takes too long to read for a shell."""

Completion = Callable[[typer.Context, str], list[str]]


def _completed(names: Callable[[typer.Context, str], Iterable[str]]) -> Completion:
    """The names that begin with what was typed; none if anything goes wrong."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return sorted(one for one in names(ctx, incomplete) if one.startswith(incomplete))
        except Exception:  # noqa: BLE001 - a traceback in the middle of a command line helps nobody
            return []

    return complete


def _of_file(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_BYTES:
        return {}
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _data(ctx: typer.Context) -> dict[str, Any]:
    named = ctx.params.get("config") or os.environ.get(CONFIG_VARIABLE) or FILE_NAME
    try:
        return _of_file(Path(named))
    except FileNotFoundError:
        return {}


def _agents(ctx: typer.Context, _incomplete: str) -> Iterable[str]:
    from streamapp.agents.definitions import DEFINITIONS

    return {*_data(ctx).get("data_agents", ()), *(one["agent_id"] for one in DEFINITIONS)}


def _own_agents(ctx: typer.Context, _incomplete: str) -> Iterable[str]:
    return list(_data(ctx).get("data_agents", ()))


def _pipelines(ctx: typer.Context, _incomplete: str) -> Iterable[str]:
    return list(_data(ctx).get("data_pipelines", ()))


def _capabilities(_ctx: typer.Context, _incomplete: str) -> Iterable[str]:
    return [str(one) for one in Capability]


def _pins(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    step, equals, _ = incomplete.partition("=")
    return [f"{step}={one}" for one in _agents(ctx, "")] if equals else []


def _targets(_ctx: typer.Context, incomplete: str) -> Iterable[str]:
    file, hash_, _ = incomplete.partition("#")
    if not hash_:
        return [f"{one}#" for one in Path().glob("*.json")]
    return [f"{file}#{one}" for one in _of_file(Path(file)).get("data_pipelines", ())]


def _stages(ctx: typer.Context, _incomplete: str) -> Iterable[str]:
    # While an option has no value yet, what was read before it is no parameter.
    target = ctx.params.get("target") or next(iter(ctx.args), "")
    file, _, name = str(target).partition("#")
    stages = _of_file(Path(file))["data_pipelines"][name]["stages"]
    return [one.get("name") or one.get("capability") or "" for one in stages]


def _sources(ctx: typer.Context, _incomplete: str) -> Iterable[str]:
    name = ctx.params.get("name") or next(iter(ctx.args), "")
    source = _data(ctx)["data_pipelines"][name]["source"]
    several = source if isinstance(source, list) else [source]
    return [one if isinstance(one, str) else one.get("topic", "") for one in several]


complete_agents = _completed(_agents)
complete_own_agents = _completed(_own_agents)
complete_pipelines = _completed(_pipelines)
complete_capabilities = _completed(_capabilities)
complete_pins = _completed(_pins)
complete_targets = _completed(_targets)
complete_stages = _completed(_stages)
complete_sources = _completed(_sources)
