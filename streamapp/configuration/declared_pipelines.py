"""Makes the pipelines that a configuration file declares."""

from collections.abc import Iterator, Sequence

from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_fits import check_neighbours
from streamapp.configuration.declared_middleware import middleware_of
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.declared_steps import settings_of, step_of
from streamapp.configuration.declared_topics import PatternEnd, TopicEnd
from streamapp.configuration.placed import PlacedError
from streamapp.configuration.secrets import Path
from streamapp.errors import ConfigurationError
from streamapp.registry.assemble import ASource, Assembled, Options, PipelineFaultsError, assemble
from streamapp.registry.choices import Choices
from streamapp.registry.choose_chain import Choice
from streamapp.registry.definition import SchemaReference
from streamapp.registry.given import Step
from streamapp.registry.nearest import did_you_mean
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
        PlacedError: a part of it cannot be made.
        AssemblyError: there is no chain of agents; with what was looked at.
        ConfigurationError: there is none of this name, or its agents do not make a pipeline.
    """
    declared = configuration.data_pipelines.get(name)
    if declared is None:
        near = did_you_mean(name, configuration.data_pipelines)
        raise ConfigurationError(f"there is no pipeline {name!r} in data_pipelines; {near}")
    choices = Choices(registry_of(configuration)) if choices is None else choices
    where: Path = ("data_pipelines", name)
    steps = [
        step_of(choices.registry, stage, (*where, "stages", place, "agent"))
        for place, stage in enumerate(declared.stages)
    ]
    try:
        made = assemble(
            choices,
            name,
            steps,
            source=list(_sources(declared)),
            sink=declared.sink.topic if isinstance(declared.sink, TopicEnd) else declared.sink,
            exclude=declared.exclude,
            options=_options(declared),
        )
    except PipelineFaultsError as error:
        faults = [
            PlacedError(where if place is None else (*where, "stages", place), str(one))
            for place, one in error.faults
        ]
        raise PlacedError.of_all(faults) from error
    if wrong := check_neighbours(choices.registry, declared, made.choice, where).faults:
        raise PlacedError.of_all([PlacedError(*one) for one in wrong])
    return made


def choose_declared(declared: DeclaredPipeline, choices: Choices, steps: Sequence[Step]) -> Choice:
    """Choose the agents of a declared pipeline, and make none of them.

    Args:
        declared: the pipeline.
        choices: among the agents of the configuration.
        steps: what its stages want.

    Raises:
        AssemblyError: there is no chain of agents; with what was looked at.
        RegistryError: a schema is unknown.
    """
    return choices.choose(
        steps,
        source=next(_source_schemas(declared), None),
        sink=_sink_schema(declared),
        exclude=declared.exclude,
    )


def _sources(declared: DeclaredPipeline) -> Iterator[ASource]:
    several = declared.source if isinstance(declared.source, list) else [declared.source]
    for one in several:
        if isinstance(one, PatternEnd):
            yield one.as_pattern()
        else:
            yield one.topic if isinstance(one, TopicEnd) else one


def _source_schemas(declared: DeclaredPipeline) -> Iterator[SchemaReference]:
    several = declared.source if isinstance(declared.source, list) else [declared.source]
    for one in several:
        if isinstance(one, TopicEnd | PatternEnd) and one.value_schema is not None:
            yield one.value_schema


def _sink_schema(declared: DeclaredPipeline) -> SchemaReference | None:
    return declared.sink.value_schema if isinstance(declared.sink, TopicEnd) else None


def _options(declared: DeclaredPipeline) -> Options:
    stages = list(enumerate(declared.stages, 1))
    return Options(
        settings={number: settings_of(stage) for number, stage in stages},
        pools={number: stage.pool for number, stage in stages if stage.pool is not None},
        source_schemas=tuple(_source_schemas(declared)),
        sink_schema=_sink_schema(declared),
        machine=this_machine(),
        refuse_excess=declared.refuse_excess,
        audit=declared.audit,
        middleware=tuple(middleware_of(one) for one in declared.middleware),
    )
