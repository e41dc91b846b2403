"""Definitions of agents that somebody gives as JSON, to be added to a configuration file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamapp.configuration.check import Fault, shown
from streamapp.configuration.file import parsed, tell_faults
from streamapp.configuration.located_json import LocatedJson
from streamapp.errors import ConfigurationError

_OF_A_DEFINITION = ("agent_id", "agent_class", "module_path")
"""Fields whose values are texts; an object of several definitions has objects only."""

_Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that definitions are from.

    Attributes:
        path: its name.
        document: what stands in it.
        places: where the definition of each id stands.
    """

    path: Path
    document: LocatedJson
    places: Mapping[str, _Place]

    def tell(self, faults: Iterable[Fault]) -> Iterator[str]:
        """One line for each fault, with its place in this file."""
        moved = [(self._place(where), sentence) for where, sentence in faults]
        return tell_faults(self.path, self.document, moved)

    def _place(self, where: _Place) -> _Place:
        own = self.places.get(str(where[1])) if len(where) > 1 else None
        return where if own is None else (*own, *where[2:])


@dataclass(frozen=True, slots=True)
class GivenAgents:
    """Definitions, and where each stands.

    Attributes:
        definitions: their fields by id, in the order in which they were given.
        origin: the file that they are from; `None` if they are from none.
    """

    definitions: Mapping[str, Mapping[str, Any]]
    origin: Origin | None = None

    def refuse(self, faults: Iterable[Fault]) -> None:
        """Refuse the definitions if there are faults.

        Args:
            faults: with paths in a configuration file, as `data_agents`, id and so on.

        Raises:
            ConfigurationError: one line for each fault, with line and column where there are some.
        """
        found = list(faults)
        if found:
            told = [one for _, one in found] if self.origin is None else self.origin.tell(found)
            raise ConfigurationError("\n".join(told))


def read_given_agents(path: Path, content: bytes) -> GivenAgents:
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
    places: dict[str, _Place] = {}
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
    return GivenAgents(found, Origin(path, document, places))


def _definitions(data: Any) -> Iterator[tuple[_Place, str | None, Any]]:
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
