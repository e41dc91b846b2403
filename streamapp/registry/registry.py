"""The registry: definitions of agents by id, and who can do and follow what.

Answers depend on what is registered, never on the order: lists are sorted by id, and a schema's
name may be bound before or after the agents that use it.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from streamapp.errors import RegistryError
from streamapp.pipeline.capability import Capability
from streamapp.registry.containment import ContainmentCheck
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.derive import AnAgent, definition_of
from streamapp.registry.entry import Entry
from streamapp.registry.imports import Importer
from streamapp.registry.indexes import Indexes
from streamapp.registry.nearest import did_you_mean
from streamapp.registry.schemas import Schemas


class Direction(StrEnum):
    """Where agents are looked for, seen from a schema."""

    AFTER = "after"  # agents that can read what is written as it
    BEFORE = "before"  # agents whose outputs can be read as it


class AgentRegistry:
    """Definitions of agents.

    Args:
        allowed_packages: packages from which agents may be imported.
        schemas: the schemas that are known.

    Attributes:
        schemas: the schemas that are known; bind names to them here.
        check: whether outputs fit inputs; declare here what it cannot know.
        importer: imports agents from the allowed packages.
        folder: where relative paths in configurations begin; `None`: at the working directory.
        refused: why agents that installed packages name are not registered, by their ids.

    Raises:
        RegistryError: a package cannot be allowed.
    """

    def __init__(
        self, allowed_packages: Iterable[str] = (), schemas: Schemas | None = None
    ) -> None:
        self.schemas = schemas if schemas is not None else Schemas()
        self.check = ContainmentCheck()
        self.importer = Importer(allowed_packages)
        self.folder: Path | None = None
        self.refused: dict[str, str] = {}
        self._changes = 0
        self._given: dict[str, tuple[AgentDefinition, AnAgent | None]] = {}
        self._entries: dict[str, Entry] = {}
        self._using: dict[str, set[str]] = {}
        self._indexes = Indexes(self.check)
        self._schemas_version = self.schemas.version

    def register(
        self, given: AgentDefinition | AnAgent, agent_id: str | None = None, **fields: Any
    ) -> AgentDefinition:
        """Add an agent.

        Args:
            given: a definition; or an agent or a class of agents, whose definition is derived.
            agent_id: its id; by default that of the definition, or its name.
            fields: further fields of the definition, such as `version="2"`.

        Raises:
            RegistryError: the id is taken, a field is wrong, or it is no agent.
        """
        definition, agent = self._read(given, agent_id, fields)
        if definition.agent_id in self._given:
            raise RegistryError(
                f"there is an agent {definition.agent_id!r} already; choose another id, or replace"
                " it"
            )
        self._add(definition, agent)
        return definition

    def replace(
        self, given: AgentDefinition | AnAgent, agent_id: str | None = None, **fields: Any
    ) -> AgentDefinition:
        """Put an agent in the place of one with the same id; arguments as of `register`.

        Raises:
            RegistryError: there is none, a field is wrong, or it is no agent.
        """
        definition, agent = self._read(given, agent_id, fields)
        self.unregister(definition.agent_id)
        self._add(definition, agent)
        return definition

    def unregister(self, agent_id: str) -> AgentDefinition:
        """Remove an agent.

        Raises:
            RegistryError: there is none of this id.
        """
        entry = self.entry(agent_id)
        del self._given[agent_id]
        del self._entries[agent_id]
        self._indexes.remove(entry)
        for name in _names(entry.definition):
            self._using[name].discard(agent_id)
        self._changes += 1
        return entry.definition

    def get(self, agent_id: str) -> AgentDefinition:
        """The definition of an agent.

        Raises:
            RegistryError: there is none of this id.
        """
        return self.entry(agent_id).definition

    def entry(self, agent_id: str) -> Entry:
        """A definition with its schemas, and the agent if it was registered itself.

        Raises:
            RegistryError: there is none of this id.
        """
        entry = self.entries().get(agent_id)
        if entry is None:
            if agent_id in self.refused:
                raise RegistryError(f"the agent {agent_id!r} is refused: {self.refused[agent_id]}")
            near = did_you_mean(agent_id, self._given)
            raise RegistryError(f"there is no agent {agent_id!r}; {near}")
        return entry

    @property
    def version(self) -> tuple[int, int, int]:
        """Differs after every change of agents, names of schemas, or declared fits."""
        return self._changes, self.schemas.version, self.check.declarations

    def __len__(self) -> int:
        return len(self._given)

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self._given

    def list(self) -> tuple[AgentDefinition, ...]:
        """All definitions, by id."""
        return tuple(self._given[agent_id][0] for agent_id in sorted(self._given))

    def find_by_capability(self, *capabilities: Capability | str) -> tuple[AgentDefinition, ...]:
        """The agents that offer all of these, by id.

        Raises:
            RegistryError: one is no capability.
        """
        wanted = [capability(one) for one in capabilities]
        offered = [set(self.offering(one)) for one in wanted]
        ids = set.intersection(*offered) if offered else set(self._given)
        return tuple(self._given[agent_id][0] for agent_id in sorted(ids))

    def find_compatible(
        self, schema: Any, direction: Direction | str = Direction.AFTER
    ) -> tuple[AgentDefinition, ...]:
        """The agents that can stand after or before a schema, by id.

        Args:
            schema: a name that is bound, a type, or a JSON schema.
            direction: `after`: agents that can read what is written as it; `before`: agents whose
                outputs can be read as it.

        Raises:
            RegistryError: the name is not bound, or it is no schema.
        """
        known = self.schemas.bound(schema)
        indexes = self.indexes()
        if Direction(direction) is Direction.AFTER:
            found = [indexes.taking(one) for one in indexes.inputs_for(known)]
        else:
            found = [indexes.giving(one) for one in indexes.outputs_for(known)]
        ids = sorted(agent_id for one in found for agent_id in one)
        return tuple(self._given[agent_id][0] for agent_id in ids)

    def offering(self, wanted: Capability) -> Mapping[str, Entry]:
        """The agents that offer a capability, by id; not sorted."""
        return self.indexes().offering(wanted)

    def entries(self) -> Mapping[str, Entry]:
        """All agents by id; not sorted."""
        if self._schemas_version != self.schemas.version:
            changed = self.schemas.changed_since(self._schemas_version)
            self._schemas_version = self.schemas.version
            ids = {agent_id for name in changed for agent_id in self._using.get(name, ())}
            for agent_id in sorted(ids):
                self._indexes.remove(self._entries[agent_id])
                self._index(*self._given[agent_id])
        return self._entries

    def indexes(self) -> Indexes:
        """Who offers, takes and gives what."""
        self.entries()
        return self._indexes

    def _read(
        self, given: AgentDefinition | AnAgent, agent_id: str | None, fields: dict[str, Any]
    ) -> tuple[AgentDefinition, AnAgent | None]:
        if not isinstance(given, AgentDefinition):
            return definition_of(given, self.schemas, agent_id, **fields), given
        if agent_id is None and not fields:
            return given, None
        changes = fields if agent_id is None else {**fields, "agent_id": agent_id}
        return AgentDefinition.model_validate({**dict(given), **changes}), None

    def _add(self, definition: AgentDefinition, agent: AnAgent | None) -> None:
        self.entries()
        self._given[definition.agent_id] = definition, agent
        for name in _names(definition):
            self._using.setdefault(name, set()).add(definition.agent_id)
        self._index(definition, agent)
        self._changes += 1

    def _index(self, definition: AgentDefinition, agent: AnAgent | None) -> None:
        input_ = self.schemas.of(definition.input_schema)
        output = self.schemas.of(definition.output_schema)
        entry = Entry(definition, agent, input_, output)
        self._entries[definition.agent_id] = entry
        self._indexes.add(entry)


def capability(name: Capability | str) -> Capability:
    """The capability of a name.

    Raises:
        RegistryError: there is none.
    """
    try:
        return Capability(name)
    except ValueError:
        known = did_you_mean(str(name), map(str, Capability))
    raise RegistryError(f"{str(name)!r} is no capability; {known}")


def _names(definition: AgentDefinition) -> set[str]:
    """The names of schemas that a definition uses."""
    both = definition.input_schema, definition.output_schema
    return {one for one in both if isinstance(one, str)}
