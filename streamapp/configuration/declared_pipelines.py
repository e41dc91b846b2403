"""Makes the pipelines that a configuration file declares."""

from collections.abc import Iterator

from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_fits import check_neighbours
from streamapp.configuration.declared_middleware import middleware_of
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.declared_steps import settings_of, step_of
from streamapp.configuration.declared_topics import PatternEnd, TopicEnd
from streamapp.configuration.placed import PlacedError
from streamapp.configuration.secrets import Path
from streamapp.configuration.warnings import Warnings
from streamapp.errors import ConfigurationError, TopicError
from streamapp.registry.assemble import ASource, Assembled, Options, StageFaultsError, assemble
from streamapp.registry.choices import Choices
from streamapp.registry.explanation import AssemblyError
from streamapp.registry.given import Given
from streamapp.registry.instantiate import Meanings
from streamapp.registry.nearest import did_you_mean
from streamapp.registry.resources import this_machine
from streamapp.topics.topic_pattern import TopicPattern


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
            source=list(_sources(declared, where)),
            sink=declared.sink.topic if isinstance(declared.sink, TopicEnd) else declared.sink,
            exclude=declared.exclude,
            options=_options(declared),
        )
    except StageFaultsError as error:
        faults = [PlacedError((*where, "stages", i), str(one)) for i, one in error.faults]
        raise PlacedError.of_all(faults) from error
    if wrong := check_neighbours(choices.registry, declared, made.choice, where).faults:
        raise PlacedError.of_all([PlacedError(*one) for one in wrong])
    return made


def pipeline_faults(
    configuration: Configuration, name: str, choices: Choices, warnings: Warnings
) -> Iterator[ConfigurationError]:
    """All that is wrong with a declared pipeline, as far as it can be seen at once.

    Args:
        configuration: where it is declared.
        name: its name.
        choices: among the agents of the configuration.
        warnings: those of a pipeline that can be made are added here.
    """
    declared = configuration.data_pipelines[name]
    found = list(_agent_faults(declared, name, choices))
    yield from found
    if found:
        return
    try:
        made = assemble_declared(configuration, name, choices)
    except PlacedError as error:
        yield error
        yield from error.others
    except AssemblyError as error:
        failed = error.explanation.failed_step or 1
        yield PlacedError(("data_pipelines", name, "stages", failed - 1), str(error))
    except ConfigurationError as error:
        yield error
    else:
        warnings.general += made.warnings
        where: Path = ("data_pipelines", name)
        warnings.placed += check_neighbours(choices.registry, declared, made.choice, where).unknown


def _agent_faults(
    declared: DeclaredPipeline, name: str, choices: Choices
) -> Iterator[ConfigurationError]:
    """What keeps the agents of stages from being made."""
    meanings: Meanings = {}
    for place, stage in enumerate(declared.stages):
        where: Path = ("data_pipelines", name, "stages", place)
        try:
            step = step_of(choices.registry, stage, (*where, "agent"))
            if isinstance(step, Given):
                step.make(meanings)
        except PlacedError as error:
            yield error
            yield from error.others


def _sources(declared: DeclaredPipeline, where: Path) -> Iterator[ASource]:
    several = declared.source if isinstance(declared.source, list) else [declared.source]
    for one in several:
        if isinstance(one, PatternEnd):
            try:
                yield TopicPattern(one.pattern, max_topics=one.max_topics)
            except TopicError as error:
                raise PlacedError((*where, "source"), str(error)) from error
        else:
            yield one.topic if isinstance(one, TopicEnd) else one


def _options(declared: DeclaredPipeline) -> Options:
    several = declared.source if isinstance(declared.source, list) else [declared.source]
    ends = (one for one in several if isinstance(one, TopicEnd | PatternEnd))
    stages = list(enumerate(declared.stages, 1))
    return Options(
        settings={number: settings_of(stage) for number, stage in stages},
        pools={number: stage.pool for number, stage in stages if stage.pool is not None},
        source_schemas=tuple(one.value_schema for one in ends if one.value_schema is not None),
        sink_schema=declared.sink.value_schema if isinstance(declared.sink, TopicEnd) else None,
        machine=this_machine(),
        refuse_excess=declared.refuse_excess,
        audit=declared.audit,
        middleware=tuple(middleware_of(one) for one in declared.middleware),
    )
