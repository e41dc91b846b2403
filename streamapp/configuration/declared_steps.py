"""What the stages of a declared pipeline want: capabilities, or the agents that they name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from streamapp.configuration.compose import Composer
from streamapp.configuration.composition import (
    Branch,
    Chain,
    Combination,
    Combined,
    Composition,
    NamedAgent,
    Parallel,
    named,
    walk_composition,
)
from streamapp.configuration.declared_stage import DeclaredBatching, DeclaredStage
from streamapp.configuration.placed import PlacedError
from streamapp.configuration.secrets import Path
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.batching import Batching
from streamapp.pipeline.capability import Capability
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.entry import Entry
from streamapp.registry.given import Given, Step
from streamapp.registry.instantiate import Meanings
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.schemas import Schema


def step_of(registry: AgentRegistry, stage: DeclaredStage, path: Path) -> Step:
    """What a stage wants.

    Args:
        registry: the agents.
        stage: the stage.
        path: where its agent stands.

    Raises:
        PlacedError: it wants what its agent does not offer, or a composition cannot be made.
    """
    if stage.agent is None:
        return stage.capability or ""
    if isinstance(stage.agent, str):
        one = NamedAgent(agent=stage.agent, configuration=stage.configuration)
        return _named(registry, stage, one, path)
    if isinstance(stage.agent, NamedAgent):
        return _named(registry, stage, stage.agent, path)
    return _combined(registry, stage, stage.agent, path)


def _named(registry: AgentRegistry, stage: DeclaredStage, one: NamedAgent, path: Path) -> Given:
    entry = registry.entry(one.agent)
    wanted = _wanted(stage.capability, entry.definition, path)

    def make(meanings: Meanings) -> Agent[Any, Any]:
        return _batched(Composer(registry, meanings).agent(one, path), stage.batching, path)

    return Given(replace(entry), wanted, (one.agent,), make)


def _wanted(capability: Capability | None, found: AgentDefinition, path: Path) -> Capability:
    """What an agent is wanted for: what is said, or the only thing that it offers."""
    offered = found.capabilities
    if capability is None:
        if len(offered) == 1:
            return offered[0]
        raise PlacedError(
            path,
            f"the agent {found.agent_id!r} offers {len(offered)} capabilities; give the one that it"
            " is wanted for as 'capability'",
        )
    if capability in offered:
        return capability
    raise PlacedError(
        path,
        f"the agent {found.agent_id!r} does not offer {capability}; it offers"
        f" {', '.join(offered) or 'nothing'}",
    )


def _batched(
    agent: Agent[Any, Any], batching: DeclaredBatching | None, path: Path
) -> Agent[Any, Any]:
    if batching is None:
        return agent
    if agent.batching is None:
        raise PlacedError(path, f"the agent {agent.name!r} does not work on batches; drop batching")
    return replace(agent, batching=Batching(batching.size, batching.linger_seconds))


def _combined(registry: AgentRegistry, stage: DeclaredStage, one: Combination, path: Path) -> Given:
    agent = _batched(Composer(registry, {}).agent(one, path), stage.batching, path)
    input_ = _input_of(registry, one) or registry.schemas.of(agent.input_type)
    output = _output_of(registry, one)
    if output is None:
        output = registry.schemas.of(agent.output_type)
    members = tuple(
        dict.fromkeys(
            part.agent for _, part in walk_composition(one) if isinstance(part, NamedAgent)
        )
    )
    definition = AgentDefinition.model_construct(
        agent_id=agent.name,
        agent_class=agent.kind,
        module_path=f"streamapp.pipeline.combinators.{agent.kind}",
        capabilities=tuple(agent.capabilities),
        input_schema=input_.name,
        output_schema=output.name,
    )
    wanted = stage.capability or min(agent.capabilities, default=Capability.STREAM_PROCESSING)
    return Given(Entry(definition, None, input_, output), wanted, members, partial(_already, agent))


def _already(agent: Agent[Any, Any], _: Meanings) -> Agent[Any, Any]:
    return agent


def _input_of(registry: AgentRegistry, composition: Composition) -> Schema | None:
    """The schema of what a composition takes, if its parts agree; `None`: its type says it."""
    one = named(composition)
    if isinstance(one, NamedAgent):
        return registry.entry(one.agent).input_
    parts = [part for _, part in one.parts()]
    first = parts[:1] if isinstance(one, Chain) else parts
    return _same([_input_of(registry, part) for part in first])


def _output_of(registry: AgentRegistry, composition: Composition) -> Schema | None:
    """The schema of what a composition gives, if it is declared or its parts agree."""
    one = named(composition)
    if isinstance(one, NamedAgent):
        return registry.entry(one.agent).output
    if one.output_schema is not None:
        return registry.schemas.of(one.output_schema)
    if isinstance(one, Parallel) or (isinstance(one, Branch) and _has_default(one)):
        return None
    parts = [part for _, part in one.parts()]
    last = parts[-1:] if isinstance(one, Chain) else parts
    return _same([_output_of(registry, part) for part in last])


def _has_default(one: Branch) -> bool:
    return bool(one.model_fields_set & {"default", "if_none"})


def _same(schemas: Sequence[Schema | None]) -> Schema | None:
    first = schemas[0]
    return first if all(one is first for one in schemas) else None


def settings_of(stage: DeclaredStage) -> Mapping[str, Any]:
    """Arguments of `Pipeline.stage`."""
    found: dict[str, Any] = {"config": stage.config(), "fused": stage.fused}
    for name in ("output", "routes", "dead_letters", "renamed_from", "name"):
        if value := getattr(stage, name):
            found[name] = value
    if "name" not in found and isinstance(stage.agent, Combined) and stage.agent.name:
        found["name"] = stage.agent.name
    return found
