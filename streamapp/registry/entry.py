"""An agent in the registry."""

from dataclasses import dataclass

from streamapp.registry.definition import AgentDefinition
from streamapp.registry.derive import AnAgent
from streamapp.registry.schemas import Schema


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An agent in the registry.

    Attributes:
        definition: its definition.
        given: the agent or class that was registered; `None` if it has to be imported.
        input_: schema of its inputs.
        output: schema of its outputs.
    """

    definition: AgentDefinition
    given: AnAgent | None
    input_: Schema
    output: Schema

    @property
    def agent_id(self) -> str:
        """Its id."""
        return self.definition.agent_id
