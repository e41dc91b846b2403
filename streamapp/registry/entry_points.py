"""Agents of installed packages, which name them under the entry points `streamapp.agents`.

```toml
[project.entry-points."streamapp.agents"]
scorer = "shop.agents:Scorer"
```
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from streamapp.errors import RegistryError
from streamapp.registry.registry import AgentRegistry

GROUP = "streamapp.agents"


@dataclass(frozen=True, slots=True)
class FoundEntryPoint:
    """An entry point, and what came of it.

    Attributes:
        name: its name, which is the id of its agent.
        value: what it names, as `module:attribute`.
        package: the package that it comes from, with its version; empty if it is not known.
        fault: why no agent was registered; empty if one was.
    """

    name: str
    value: str
    package: str
    fault: str = ""

    @property
    def is_registered(self) -> bool:
        """Whether its agent is in the registry now."""
        return not self.fault


def register_entry_points(
    registry: AgentRegistry, found: Iterable[EntryPoint] | None = None
) -> tuple[FoundEntryPoint, ...]:
    """Register the agents that installed packages name; one that cannot be is told, no more.

    The rules of imports hold for them too: their packages have to be allowed. The registry keeps
    why others are refused, for whoever asks for them.

    Args:
        registry: where they are registered.
        found: the entry points; by default those that are installed.

    Returns:
        What came of each, by name.
    """
    given = entry_points(group=GROUP) if found is None else found
    ordered = sorted(given, key=lambda one: (one.name, one.value))
    return tuple(_register(registry, one) for one in ordered)


def _register(registry: AgentRegistry, point: EntryPoint) -> FoundEntryPoint:
    package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
    module, _, attribute = point.value.partition(":")
    try:
        agent = registry.importer.agent(module.strip(), attribute.strip())
        registry.register(agent, point.name, version=point.dist.version if point.dist else "0")
    except RegistryError as error:
        registry.refused[point.name] = str(error)
        return FoundEntryPoint(point.name, point.value, package, str(error))
    return FoundEntryPoint(point.name, point.value, package)
