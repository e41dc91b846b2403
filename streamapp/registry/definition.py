"""Definitions of agents: what an agent is called, can do, takes, gives and needs."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)

from streamapp.errors import RegistryError
from streamapp.pipeline.capability import Capability
from streamapp.registry.faults import sentences, shown_value

_UNITS_MB = {"KB": 1 / 1024, "MB": 1.0, "GB": 1024.0, "TB": 1024.0**2}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(KB|MB|GB|TB)")


def _megabytes(value: object) -> object:
    """Megabytes of `512MB` or `10 GB`; numbers are megabytes already."""
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value)
    if found is None:
        raise ValueError(
            f"give megabytes as a number, or a number with KB, MB, GB or TB, not {value!r}"
        )
    return float(found[1]) * _UNITS_MB[found[2]]


def _dotted_name(value: str) -> str:
    if not all(part.isidentifier() for part in value.split(".")):
        raise ValueError(f"give the dotted name of a module, such as 'shop.agents', not {value!r}")
    return value


def _attribute(value: str) -> str:
    if not value.isidentifier():
        raise ValueError(f"give one name without dots or colons, such as 'Scorer', not {value!r}")
    return value


def _sorted_once(values: tuple[Capability, ...]) -> tuple[Capability, ...]:
    """In the order in which capabilities are declared, so that equal sets are equal."""
    return tuple(one for one in Capability if one in values)


def _name_or_schema(value: object) -> object:
    if not isinstance(value, str | dict) or value == "":
        raise ValueError(f"give the name of a schema, or a JSON schema, not {shown_value(value)}")
    return value


SchemaReference = Annotated[str | dict[str, JsonValue], BeforeValidator(_name_or_schema)]
"""The name of a schema, or a JSON schema."""

Id = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
]
Size = Annotated[float, BeforeValidator(_megabytes), Field(ge=0, allow_inf_nan=False)]


class ResourceRequirements(BaseModel):
    """What one worker needs to run an agent.

    Attributes:
        memory_mb: memory in megabytes.
        cpu_cores: cores, or parts of one.
        storage: disk space in megabytes; in a file also `512MB` or `10GB`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_mb: float = Field(default=0, ge=0, allow_inf_nan=False)
    cpu_cores: float = Field(default=0, ge=0, allow_inf_nan=False)
    storage: Size = 0


class AgentDefinition(BaseModel):
    """An agent as the registry knows it: where its code is, and how it can be combined.

    Attributes:
        agent_id: its name in the registry, unique; letters, digits, `.`, `_` and `-`.
        name: its name for people; by default its id.
        agent_class: attribute of the module: an agent, or a class whose objects are agents.
        module_path: dotted name of the module.
        capabilities: kinds of work that it offers.
        input_schema: name of the schema of its inputs, or a JSON schema.
        output_schema: name of the schema of its outputs, or a JSON schema.
        configuration: values of its configuration, which its own model checks.
        resource_requirements: what one worker needs to run it.
        version: version of the agent, for people.
        description: one line on what it does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent_id: Id
    name: str = ""
    agent_class: Annotated[str, AfterValidator(_attribute)]
    module_path: Annotated[str, AfterValidator(_dotted_name)]
    capabilities: Annotated[tuple[Capability, ...], AfterValidator(_sorted_once)] = ()
    input_schema: SchemaReference
    output_schema: SchemaReference
    configuration: Mapping[str, JsonValue] = Field(default_factory=dict)
    resource_requirements: ResourceRequirements = ResourceRequirements()
    version: str = "0"
    description: str = ""

    @property
    def shown_name(self) -> str:
        """Its name for people."""
        return self.name or self.agent_id


def read_definition(data: Mapping[str, Any], where: str = "") -> AgentDefinition:
    """Read a definition from data, such as those of a file.

    Args:
        data: the fields.
        where: where the data stand, such as `data_agents.scorer`; every fault begins with it.

    Raises:
        RegistryError: a field is unknown, missing or wrong: one line for each fault, with its
            place.
    """
    try:
        return AgentDefinition.model_validate(data)
    except ValidationError as error:
        faults = "\n".join(sentences(error, AgentDefinition, where))
    raise RegistryError(faults)
