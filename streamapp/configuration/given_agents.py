"""Reads definitions of agents that somebody gives as JSON."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streamapp.configuration.changes import AGENTS
from streamapp.configuration.check import Fault
from streamapp.configuration.file import parsed, tell_faults
from streamapp.configuration.given_entries import GivenEntries, Origin, Place
from streamapp.configuration.placed import shown
from streamapp.errors import ConfigurationError

_OF_A_DEFINITION = ("agent_id", "agent_class", "module_path")
"""Fields whose values are texts; an object of several definitions has objects only."""


def read_given_agents(path: Path, content: bytes) -> GivenEntries:
    """Read one definition, an array of definitions, or an object of them by id.

    What is in the definitions is checked with the configuration that they become a part of.

    Args:
        path: name of the file, for messages.
        content: its bytes.

    Raises:
        ConfigurationError: it is no JSON, or a definition has no id or that of another one.
    """
    document = parsed(path, content)
    found: dict[str, Mapping[str, Any]] = {}
    places: dict[str, Place] = {}
    faults: list[Fault] = []
    for place, agent_id, fields in _definitions(document.data):
        where = shown(place) or "the file"
        if agent_id is None:
            faults.append((place, f"{where}: the field agent_id is missing; add it"))
        elif agent_id in found:
            faults.append((place, f"{where}: the id {agent_id!r} occurs twice; remove one"))
        else:
            found[agent_id], places[agent_id] = fields, place
    if not (found or faults):
        faults.append(((), "give a definition, or an object of definitions by their ids"))
    if faults:
        raise ConfigurationError("\n".join(tell_faults(path, document, faults)))
    return GivenEntries(AGENTS, found, Origin(path, document, places))


def _definitions(data: Any) -> Iterator[tuple[Place, str | None, Any]]:
    """The place, id and fields of each definition."""
    if isinstance(data, list):
        for number, one in enumerate(data):
            yield (number,), *_identified(one)
    elif not isinstance(data, dict):
        return
    elif any(isinstance(data.get(name), str) for name in _OF_A_DEFINITION):
        yield (), *_identified(data)
    else:
        for agent_id, fields in data.items():
            yield (agent_id,), agent_id, fields


def _identified(data: Any) -> tuple[str | None, Any]:
    if not isinstance(data, dict):
        return None, data
    agent_id = data.get("agent_id")
    fields = {name: value for name, value in data.items() if name != "agent_id"}
    return (agent_id if isinstance(agent_id, str) else None), fields
