"""Makes the pipelines that a configuration file declares."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.sections import Configuration, DeclaredStage
from streamapp.errors import ConfigurationError
from streamapp.pipeline.stage import StageConfig
from streamapp.policies.policy import ErrorPolicy
from streamapp.registry.assemble import Assembled, Options, assemble
from streamapp.registry.choices import Choices
from streamapp.registry.given import Given, Step
from streamapp.registry.instantiate import make_agent
from streamapp.registry.nearest import did_you_mean
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.resources import this_machine


def assemble_declared(
    configuration: Configuration, name: str, choices: Choices | None = None
) -> Assembled:
    """Choose the agents of a declared pipeline, import them from allowed packages, and make it.

    Args:
        configuration: where it is declared.
        name: its name.
        choices: among the agents of the configuration, for a caller that makes many pipelines.

    Raises:
        ConfigurationError: there is none of this name, or its agents do not make a pipeline.
    """
    declared = configuration.data_pipelines.get(name)
    if declared is None:
        near = did_you_mean(name, configuration.data_pipelines)
        raise ConfigurationError(f"there is no pipeline {name!r} in data_pipelines; {near}")
    choices = Choices(registry_of(configuration)) if choices is None else choices
    stages = list(enumerate(declared.stages, 1))
    return assemble(
        choices,
        name,
        [_step(choices.registry, number, stage) for number, stage in stages],
        source=declared.source,
        sink=declared.sink,
        exclude=declared.exclude,
        options=Options(
            settings={number: _settings(stage) for number, stage in stages},
            machine=this_machine(),
            refuse_excess=declared.refuse_excess,
        ),
    )


def _step(registry: AgentRegistry, number: int, stage: DeclaredStage) -> Step:
    """What a stage wants: a capability, or the agent that it names."""
    if stage.agent is None:
        return stage.capability or ""
    entry = registry.entry(stage.agent)
    offered = entry.definition.capabilities
    wanted = stage.capability
    if wanted is None:
        if len(offered) != 1:
            raise ConfigurationError(
                f"step {number}: the agent {stage.agent!r} offers {len(offered)} capabilities; give"
                " the one that it is wanted for as 'capability'"
            )
        wanted = offered[0]
    elif wanted not in offered:
        raise ConfigurationError(
            f"step {number}: the agent {stage.agent!r} does not offer {wanted}; it offers"
            f" {', '.join(offered) or 'nothing'}"
        )
    make = partial(make_agent, registry, stage.agent, stage.configuration)
    return Given(replace(entry), wanted, (stage.agent,), make)


def _settings(stage: DeclaredStage) -> Mapping[str, Any]:
    """Arguments of `Pipeline.stage`."""
    config = StageConfig(
        retry_count=stage.retry_count,
        timeout_seconds=stage.timeout_seconds,
        error_policy=ErrorPolicy(stage.error_policy),
        concurrency=stage.concurrency,
    )
    return {"config": config} if stage.name is None else {"config": config, "name": stage.name}
