"""Makes a runnable pipeline of the agents that were chosen for a sequence of capabilities.

Stages have the names of their capabilities, not of their agents: so another agent can take a place,
and the stage keeps its consumer group, its topics and its dead letters.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamapp.errors import ConfigurationError, PipelineError, RegistryError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.audit import Audit
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.middleware import AroundMiddleware, Middleware
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build, pipeline_faults
from streamapp.policies.policy import retry
from streamapp.registry.choices import Choices
from streamapp.registry.choose_chain import Choice
from streamapp.registry.definition import ResourceRequirements
from streamapp.registry.given import Step
from streamapp.registry.needs import needs_of
from streamapp.registry.places import Place, places_of
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.resources import Machine, added_up, lacking
from streamapp.registry.schemas import Schema
from streamapp.registry.scores import Scores
from streamapp.registry.stage_agents import StageAgents, same
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern

ASource = Topic[Any] | TopicPattern[Any] | str
"""What a pipeline reads: topics, of which there may be only the name."""

RETRIES = 2
"""Retries of a stage, unless its settings say otherwise."""

POOL_CAPACITY = 8
"""Calls at a time of each agent in a pool, unless told otherwise."""

Overrides = Mapping[str, Mapping[str, Any]]
"""Values of configurations, by the ids of their agents."""


class PipelineFaultsError(PipelineError):
    """A pipeline that was put together is wrong.

    Attributes:
        faults: each with the place of its stage, from 0; `None` if it is about the whole.
    """

    def __init__(self, faults: tuple[tuple[int | None, ConfigurationError], ...]) -> None:
        super().__init__(str(faults[0][1]))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a pipeline is made of the agents that were chosen.

    Attributes:
        overrides: values of configurations, by the ids of their agents.
        settings: arguments of `Pipeline.stage`, such as `on_error` or `concurrency`, by the number
            of the step; topics may be names; without `on_error` and `config`, it retries twice.
        pools: how many agents share the work of a step, by its number; fewer if there are not so
            many that take and give the same.
        pool_capacity: calls at a time of each agent in a pool.
        machine: what its agents may need together; `None`: anything.
        refuse_excess: refuse a pipeline that needs more; otherwise it is a warning.
        source_schemas: schemas of what the sources have, where their topics do not say it.
        sink_schema: the same of the sink.
        audit: what the stages add to the audit trail of the data.
        middleware: what runs around the agent of every stage.
    """

    overrides: Overrides = field(default_factory=dict)
    settings: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    pools: Mapping[int, int] = field(default_factory=dict)
    pool_capacity: int = POOL_CAPACITY
    machine: Machine | None = None
    refuse_excess: bool = False
    source_schemas: tuple[Any, ...] = ()
    sink_schema: Any = None
    audit: Audit = Audit.ERRORS
    middleware: tuple[Middleware | AroundMiddleware, ...] = ()


@dataclass(frozen=True, slots=True)
class Assembled:
    """A pipeline that was assembled.

    Attributes:
        pipeline: the pipeline, checked.
        choice: the chosen agents, and why these.
        members: ids of the agents of each step; several where they make a pool.
        resources: what all its agents need together.
        warnings: of what the machine has too little, one sentence for each thing.
        registry: where they are defined.
        scores: by which they were ranked.
        places: what stays the same at each step when an agent is replaced.
        agents: makes the agents of its stages.
    """

    pipeline: Pipeline[Any, Any]
    choice: Choice
    members: tuple[tuple[str, ...], ...]
    resources: ResourceRequirements
    warnings: tuple[str, ...]
    registry: AgentRegistry
    scores: Scores
    places: tuple[Place, ...]
    agents: StageAgents


def assemble(
    registry: AgentRegistry | Choices,
    name: str,
    steps: Sequence[Step],
    *,
    source: ASource | Sequence[ASource],
    sink: Topic[Any] | str | None = None,
    scores: Scores | None = None,
    pins: Mapping[int, str] | None = None,
    exclude: Iterable[str] = (),
    options: Options | None = None,
) -> Assembled:
    """Choose agents for a sequence of capabilities, and make a pipeline of them.

    Args:
        registry: the agents; as `Choices` for a caller that makes many pipelines of them.
        name: name of the pipeline.
        steps: a stage for each: capabilities, at least two; some of the agents, or all, may be
            given instead.
        source: what it reads: topics, or patterns; the first agent takes what a topic with a type
            has, and any agent can be first if there is only a name.
        sink: what it writes; `None` if it is only executed in process.
        scores: by which agents are ranked; those of the `Choices`, if these are given.
        pins: ids of agents that have to be chosen, by the number of their step, from 1.
        exclude: ids of agents that may not be chosen.
        options: how the pipeline is made of the agents.

    Raises:
        AssemblyError: no chain of agents does this; which step failed, and what was nearest.
        RegistryError: something that is asked for is unknown, an agent could not be made, or the
            machine has too little.
        ImportRefusedError: an agent may not be imported.
        PipelineError: the agents do not make a pipeline.
    """
    options = options or Options()
    choices = registry if isinstance(registry, Choices) else Choices(registry, scores)
    registry, scores = choices.registry, choices.scores
    sources = (source,) if isinstance(source, Topic | TopicPattern | str) else tuple(source)
    schemas = options.source_schemas or [one for one in map(_schema, sources) if one is not None]
    choice = choices.choose(
        steps,
        source=schemas[0] if schemas else None,
        sink=_schema(sink) if options.sink_schema is None else options.sink_schema,
        pins=pins,
        exclude=exclude,
    )
    source_schemas = [registry.schemas.bound(one) for one in schemas]
    _check_sources(registry, choice, source_schemas[1:])
    _check_numbers(len(choice.entries), options.settings, options.pools)
    members = _members(registry, choice, scores, options.pools)
    _check_overrides(options.overrides, members)
    resources = added_up(needs_of(registry, agent_id) for step in members for agent_id in step)
    warnings = _warnings(name, resources, options)
    agents = StageAgents(registry, options.overrides, options.pool_capacity)
    stages = agents.first(members, choice.request.given)
    pipeline = _pipeline(name, choice, stages, sources, sink, options)
    if faults := tuple(pipeline_faults(pipeline)):
        raise PipelineFaultsError(faults)
    build(pipeline, needs_sink=sink is not None)
    places = places_of(choice.request, choice.entries, members, source_schemas)
    return Assembled(
        pipeline, choice, members, resources, warnings, registry, scores, tuple(places), agents
    )


def _schema(topic: ASource | None) -> Any:
    """The type of a topic, as far as it is declared."""
    return None if topic is None or isinstance(topic, str) or topic.schema is Any else topic.schema


def _check_sources(registry: AgentRegistry, choice: Choice, schemas: Iterable[Schema]) -> None:
    """Require the first agent to take what the further sources have."""
    first = choice.entries[0]
    for one in schemas:
        fit = registry.check.explain(one, first.input_)
        if not fit.is_fit:
            raise RegistryError(
                f"assembly: the first agent {first.agent_id!r} does not take what a source has,"
                f" {one.name}: {fit}"
            )


def _check_numbers(steps: int, *by_number: Mapping[int, object]) -> None:
    for numbers in by_number:
        for number in numbers:
            if number not in range(1, steps + 1):
                raise RegistryError(f"assembly: there is no step {number!r}; they are 1 to {steps}")


def _members(
    registry: AgentRegistry, choice: Choice, scores: Scores, pools: Mapping[int, int]
) -> tuple[tuple[str, ...], ...]:
    """The agents of each step: the chosen one, and the best of those that can share its work."""
    given = choice.request.given
    taken = {entry.agent_id for entry in choice.entries}
    taken.update(*(one.members for one in given.values()))
    found = []
    for number, entry in enumerate(choice.entries, 1):
        if number in given:
            found.append(given[number].members)
            continue
        added: list[str] = []
        if number in pools:
            added = _others(registry, choice, scores, taken, number)[: pools[number] - 1]
            taken.update(added)
        found.append((entry.agent_id, *added))
    return tuple(found)


def _others(
    registry: AgentRegistry, choice: Choice, scores: Scores, taken: set[str], number: int
) -> list[str]:
    """Ids of those that take and give the same as the agent of a step, the best first."""
    entry, wanted = choice.entries[number - 1], choice.request.capabilities[number - 1]
    left_out = taken | choice.request.exclude
    found = [
        (scores.cost(one.definition, wanted), one.agent_id)
        for one in registry.indexes().taking(entry.input_, wanted).values()
        if one.output is entry.output and one.agent_id not in left_out
    ]
    return [agent_id for _, agent_id in sorted(found)]


def _check_overrides(overrides: Overrides, members: Sequence[Sequence[str]]) -> None:
    chosen = [agent_id for step in members for agent_id in step]
    for agent_id in overrides:
        if agent_id not in chosen:
            raise RegistryError(
                f"assembly: there are overrides for {agent_id!r}, which was not chosen;"
                f" chosen: {', '.join(chosen)}"
            )


def _warnings(name: str, needs: ResourceRequirements, options: Options) -> tuple[str, ...]:
    found = () if options.machine is None else tuple(lacking(needs, options.machine))
    if found and options.refuse_excess:
        raise RegistryError(f"pipeline {name!r} does not fit the machine: {'; '.join(found)}")
    return tuple(f"pipeline {name!r}: {sentence}" for sentence in found)


def _pipeline(
    name: str,
    choice: Choice,
    stages: Sequence[Agent[Any, Any]],
    sources: Sequence[ASource],
    sink: Topic[Any] | str | None,
    options: Options,
) -> Pipeline[Any, Any]:
    first, last = stages[0], stages[-1]
    read = [_topic(one, first.input_type) for one in sources]
    pipeline: Pipeline[Any, Any] = Pipeline(name, source=read, audit=options.audit)
    pipeline = pipeline.use(*options.middleware)
    counts = Counter[Capability]()
    for number, (wanted, stage) in enumerate(
        zip(choice.request.capabilities, stages, strict=True), 1
    ):
        counts[wanted] += 1
        own = dict(_with_topics(options.settings.get(number, {}), stage.output_type))
        if not own.keys() & {"on_error", "config"}:
            own["on_error"] = retry(RETRIES)
        own.setdefault("name", f"{wanted}-{counts[wanted]}" if counts[wanted] > 1 else str(wanted))
        try:
            pipeline = pipeline.stage(stage, **own)
        except TypeError as error:
            raise PipelineError(f"pipeline {name!r}, step {number}: {error}") from error
    if sink is None:
        return pipeline
    return pipeline.sink(_written(sink, last.output_type))


def _with_topics(settings: Mapping[str, Any], written: Any) -> Iterator[tuple[str, Any]]:
    """The settings of a stage, with a topic of what it writes for each name of one."""
    for name, value in settings.items():
        if name == "output" and isinstance(value, str):
            yield name, Topic(value, written)
        elif name == "routes" and isinstance(value, Mapping):
            yield (
                name,
                {
                    route: Topic(topic, written) if isinstance(topic, str) else topic
                    for route, topic in value.items()
                },
            )
        else:
            yield name, value


def _topic(topic: ASource, read: Any) -> Topic[Any] | TopicPattern[Any]:
    """The topic as its reader reads it, which is proven to be able to."""
    if isinstance(topic, str):
        return Topic(topic, read)
    if topic.schema is Any or same(topic.schema, read):
        return topic
    if isinstance(topic, TopicPattern):
        return TopicPattern(topic.name, read, max_topics=topic.max_topics)
    return Topic(topic.name, read)


def _written(topic: Topic[Any] | str, written: Any) -> Topic[Any] | str:
    if isinstance(topic, str) or topic.schema is Any or same(written, topic.schema):
        return topic
    return Topic(topic.name, written)
