"""Keeps a registry as its configuration file says, while others change that file."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.file import (
    ConfigurationFile,
    digest_of,
    read_bytes,
    read_configuration,
)
from streamapp.errors import StreamappError
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.schemas import Schemas

log = logging.getLogger(__name__)


class WatchedRegistry:
    """Follows a configuration file; give its `refresh` to `Reassembly`.

    Agents that leave the file are unregistered, those that come are registered, and those that have
    changed are replaced. Names of JSON schemas mean what the file says. What already runs goes on
    with the definition that it began with.

    Args:
        file: the file as it was read.
        registry: its agents.
        environment: variables that override settings; by default those of this process.
        packages: packages that may be imported, as when the file was read.
    """

    def __init__(
        self,
        file: ConfigurationFile,
        registry: AgentRegistry,
        environment: Mapping[str, str] | None = None,
        packages: Iterable[str] = (),
    ) -> None:
        self._path = file.path
        self._digest = file.digest
        self._registry = registry
        self._environment = environment
        self._packages = tuple(packages)

    async def refresh(self) -> None:
        """Do what the file says now; a file that is wrong is told once, and changes nothing."""
        try:
            wanted = await asyncio.to_thread(self._changed)
            if wanted is None:
                return
            told = list(_become(self._registry, wanted))
        except StreamappError as error:
            log.warning("%s has changed and is not followed: %s", self._path, error)
            return
        log.info("%s has changed: %s", self._path, ", ".join(told) or "not its agents")

    def _changed(self) -> AgentRegistry | None:
        """The agents of the file, if it has changed.

        Raises:
            StreamappError: it is wrong.
        """
        digest = digest_of(read_bytes(self._path, may_be_missing=True))
        if digest in (self._digest, None):
            return None  # without a file nobody has said that an agent is to go
        self._digest = digest
        file = read_configuration(self._path, self._environment, packages=self._packages)
        return registry_of(file.configuration)


def _become(registry: AgentRegistry, wanted: AgentRegistry) -> Iterable[str]:
    """Change a registry so that it has the agents of another one; gives what was done."""
    yield from _take_over_names(registry.schemas, wanted.schemas)
    now = {one.agent_id: one for one in wanted.list()}
    before = {one.agent_id: one for one in registry.list()}
    for agent_id in before.keys() - now.keys():
        registry.unregister(agent_id)
        yield f"{agent_id!r} is gone"
    for agent_id, definition in now.items():
        if agent_id not in before:
            registry.register(definition)
            yield f"{agent_id!r} is new"
        elif definition != before[agent_id]:
            registry.replace(definition)
            yield f"{agent_id!r} is another"


def _take_over_names(schemas: Schemas, wanted: Schemas) -> Iterable[str]:
    """Let names mean what they do among the wanted ones; gives what has changed of known ones.

    An agent that names a schema is another one when the name means something else, although its
    definition is the same.
    """
    known, now = schemas.names(), wanted.names()
    for name in known.keys() - now.keys():
        if known[name].json_schema is not None:
            schemas.unbind(name)
            yield f"the schema {name!r} is gone"
    for name, schema in now.items():
        is_type = schema.json_schema is None
        if name not in known and is_type:
            schemas.reference(schema.type_)
            continue
        content = schema.type_ if is_type else schema.json_schema
        if schemas.rebind(name, content) and name in known:
            yield f"the schema {name!r} is another"
