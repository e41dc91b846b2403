"""Makes the pipelines that a configuration file declares."""

from collections.abc import Mapping
from typing import Any

from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.sections import Configuration, DeclaredPipeline, DeclaredStage
from streamapp.errors import ConfigurationError
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.stage import StageConfig
from streamapp.policies.policy import ErrorPolicy
from streamapp.registry.assemble import Assembled, Options, assemble
from streamapp.registry.nearest import did_you_mean
from streamapp.registry.registry import AgentRegistry


def assemble_declared(configuration: Configuration, name: str) -> Assembled:
    """Choose the agents of a declared pipeline, import them from allowed packages, and make it.

    Args:
        configuration: where it is declared.
        name: its name.

    Raises:
        ConfigurationError: there is none of this name, or its agents do not make a pipeline.
    """
    declared = configuration.data_pipelines.get(name)
    if declared is None:
        near = did_you_mean(name, configuration.data_pipelines)
        raise ConfigurationError(f"there is no pipeline {name!r} in data_pipelines; {near}")
    registry = registry_of(configuration)
    stages = list(enumerate(declared.stages, 1))
    return assemble(
        registry,
        name,
        [_capability(registry, number, stage) for number, stage in stages],
        source=declared.source,
        sink=declared.sink,
        pins={number: stage.agent for number, stage in stages if stage.agent is not None},
        exclude=declared.exclude,
        options=Options(
            overrides=_overrides(declared),
            settings={number: _settings(stage) for number, stage in stages},
        ),
    )


def _capability(registry: AgentRegistry, number: int, stage: DeclaredStage) -> Capability:
    if stage.capability is not None:
        return stage.capability
    offered = registry.get(stage.agent or "").capabilities
    if len(offered) != 1:
        raise ConfigurationError(
            f"step {number}: the agent {stage.agent!r} offers {len(offered)} capabilities; give"
            " the one that it is wanted for as 'capability'"
        )
    return offered[0]


def _overrides(declared: DeclaredPipeline) -> Mapping[str, Mapping[str, Any]]:
    return {
        stage.agent: stage.configuration
        for stage in declared.stages
        if stage.agent is not None and stage.configuration
    }


def _settings(stage: DeclaredStage) -> Mapping[str, Any]:
    """Arguments of `Pipeline.stage`."""
    config = StageConfig(
        retry_count=stage.retry_count,
        timeout_seconds=stage.timeout_seconds,
        error_policy=ErrorPolicy(stage.error_policy),
        concurrency=stage.concurrency,
    )
    return {"config": config} if stage.name is None else {"config": config, "name": stage.name}
