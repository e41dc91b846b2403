"""What the stages of a declared pipeline want: capabilities, or the agents that they name."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from streamapp.configuration.compose import Composer
from streamapp.configuration.composition import (
    Combination,
    Combined,
    NamedAgent,
    walk_composition,
)
from streamapp.configuration.composition_check import CompositionCheck
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
    check = CompositionCheck(registry)
    ends = check.ends(one, path)
    agent = _batched(_checked_agent(registry, check, one, path), stage.batching, path)
    input_ = ends.input_schema(registry.check.fits) or registry.schemas.of(agent.input_type)
    output = ends.output_schema(registry.check.fits) or registry.schemas.of(agent.output_type)
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


def _checked_agent(
    registry: AgentRegistry, check: CompositionCheck, one: Combination, path: Path
) -> Agent[Any, Any]:
    """The agent of a composition, unless it cannot be made or its parts do not fit.

    Raises:
        PlacedError: the first of all faults, with the others.
    """
    faults = [PlacedError(*found) for found in check.faults]
    try:
        agent = Composer(registry, {}).agent(one, path)
    except PlacedError as error:
        raise PlacedError.of_all([error, *faults]) from error
    if faults:
        raise PlacedError.of_all(faults)
    return agent


def _already(agent: Agent[Any, Any], _: Meanings) -> Agent[Any, Any]:
    return agent


def settings_of(stage: DeclaredStage) -> Mapping[str, Any]:
    """Arguments of `Pipeline.stage`."""
    found: dict[str, Any] = {"config": stage.config(), "fused": stage.fused}
    for name in ("output", "routes", "dead_letters", "renamed_from", "name"):
        if value := getattr(stage, name):
            found[name] = value
    if "name" not in found and isinstance(stage.agent, Combined) and stage.agent.name:
        found["name"] = stage.agent.name
    return found
