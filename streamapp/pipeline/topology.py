"""A pipeline checked and laid out: which group reads which topic and writes where."""

import inspect
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_origin

from streamapp.errors import PipelineError
from streamapp.pipeline.pipeline import Link, Pipeline
from streamapp.pipeline.stage import Stage, StageConfig
from streamapp.policies.policy import ErrorPolicy
from streamapp.serialisation import Codec, codec_for
from streamapp.topics.topic import Topic, check_topic_name


@dataclass(frozen=True, slots=True)
class Step:
    """One stage in its place.

    Attributes:
        stage: the stage.
        codec: codec of what it takes.
        output: where its outputs go; `None` if it gives none, or if the next step is fused.
        routes: topics by the name that `Out(to=…)` uses.
        dead_letters: name of its dead-letter topic.
    """

    stage: Stage
    codec: Codec[Any]
    output: Topic[Any] | None
    routes: Mapping[str, Topic[Any]]
    dead_letters: str

    def written_topics(self) -> Iterator[str]:
        """Names of all topics that it writes to."""
        yield from self.output_topics()
        yield self.dead_letters

    def output_topics(self) -> Iterator[str]:
        """Names of the topics that its outputs go to."""
        if self.output is not None:
            yield self.output.name
        for topic in self.routes.values():
            yield topic.name


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that run in one process with no topic between; the unit that reads and commits.

    Attributes:
        pipeline: name of the pipeline.
        source: topic that it reads.
        steps: at least one; fused stages follow the first.
        renamed_from: what the first stage was called before; `None` if it has had no other name.
    """

    pipeline: str
    source: str
    steps: tuple[Step, ...]
    renamed_from: str | None = None

    @property
    def name(self) -> str:
        """Name of the first stage."""
        return self.steps[0].stage.stage_id

    @property
    def group(self) -> str:
        """Consumer group."""
        return f"{self.pipeline}.{self.name}"

    def written_topics(self) -> Iterator[str]:
        """Names of all topics that it writes to."""
        for step in self.steps:
            yield from step.written_topics()


@dataclass(frozen=True, slots=True)
class Topology:
    """A checked pipeline.

    Attributes:
        pipeline: its name.
        segments: in the order in which records pass them.
    """

    pipeline: str
    segments: tuple[Segment, ...]

    def topics(self) -> tuple[str, ...]:
        """Names of all topics that are read or written, each once, in the order of use."""
        names: dict[str, None] = {}
        for segment in self.segments:
            names[segment.source] = None
            names.update(dict.fromkeys(segment.written_topics()))
        return tuple(names)


def build(pipeline: Pipeline[Any, Any]) -> Topology:
    """Check a pipeline and lay it out.

    Raises:
        PipelineError: it has no stage, two stages share a name, types do not fit, `skip` stands
            where input and output differ, or a stage's outputs have nowhere to go.
    """
    links = pipeline.links
    if not links:
        raise PipelineError(f"pipeline {pipeline.name!r} has no stage; add one with .stage(agent)")
    _check_names(pipeline)
    segments: list[Segment] = []
    steps: list[Step] = []
    source = pipeline.source
    renamed_from: str | None = None
    for i, link in enumerate(links):
        following = links[i + 1] if i + 1 < len(links) else None
        _check_link(pipeline, i)
        step = _step(pipeline, link, following)
        steps.append(step)
        renamed_from = renamed_from if link.fused else link.renamed_from
        if following is None or not following.fused:
            segments.append(Segment(pipeline.name, source.name, tuple(steps), renamed_from))
            steps = []
            source = step.output or source
    topology = Topology(pipeline.name, tuple(segments))
    _check_loops(topology)
    return topology


def _step(pipeline: Pipeline[Any, Any], link: Link, following: Link | None) -> Step:
    stage_id = link.stage.stage_id
    agent = link.stage.agent
    dead_letters = link.dead_letters or f"{pipeline.name}.{stage_id}.dlq"
    check_topic_name(dead_letters)
    output = link.output
    if following is not None and following.fused:
        if output is not None:
            raise PipelineError(
                f"pipeline {pipeline.name!r}: stage {stage_id!r} has an output topic, but"
                f" {following.stage.stage_id!r} is fused to it; drop one of the two"
            )
    elif output is None and agent.output_type is not NoneType:
        if following is None:
            raise PipelineError(
                f"pipeline {pipeline.name!r}: the outputs of the last stage {stage_id!r} go"
                " nowhere; name a topic with .sink(topic)"
            )
        output = Topic(f"{pipeline.name}.{stage_id}", agent.output_type)
    return Step(link.stage, codec_for(agent.input_type), output, link.routes, dead_letters)


def _check_names(pipeline: Pipeline[Any, Any]) -> None:
    check_topic_name(pipeline.name)
    counts = Counter(stage.stage_id for stage in pipeline.stages)
    for stage_id, count in counts.items():
        check_topic_name(stage_id)
        if count > 1:
            raise PipelineError(
                f"pipeline {pipeline.name!r}: {count} stages are called {stage_id!r};"
                " give each a name=… of its own"
            )
    _check_old_names(pipeline, counts)
    if pipeline.links[0].fused:
        raise PipelineError(
            f"pipeline {pipeline.name!r}: the first stage {pipeline.links[0].stage.stage_id!r}"
            " cannot be fused: there is no stage before it"
        )


def _check_old_names(pipeline: Pipeline[Any, Any], names: Collection[str]) -> None:
    """Hold every old name to be the old name of one stage, and of one that reads by itself."""
    taken = set(names)
    for link in pipeline.links:
        old = link.renamed_from
        if old is None:
            continue
        where = f"pipeline {pipeline.name!r}, stage {link.stage.stage_id!r}: renamed_from={old!r}"
        check_topic_name(old)
        if old in taken:
            raise PipelineError(f"{where} is the name of a stage, or was that of another as well")
        if link.fused:
            raise PipelineError(
                f"{where} would have no effect: a fused stage reads no topic; drop it"
            )
        taken.add(old)


def _check_link(pipeline: Pipeline[Any, Any], i: int) -> None:
    link = pipeline.links[i]
    agent = link.stage.agent
    where = f"pipeline {pipeline.name!r}, stage {link.stage.stage_id!r}"
    if i == 0:
        given, giver = pipeline.source.schema, f"topic {pipeline.source.name!r}"
    else:
        before = pipeline.links[i - 1]
        given, giver = before.stage.agent.output_type, f"stage {before.stage.stage_id!r}"
    if not _fits(given, agent.input_type):
        raise PipelineError(
            f"{where} takes {_name(agent.input_type)}, but {giver} gives {_name(given)}"
        )
    if link.output is not None and not _fits(agent.output_type, link.output.schema):
        raise PipelineError(
            f"{where} gives {_name(agent.output_type)}, but its topic {link.output.name!r}"
            f" is declared with {_name(link.output.schema)}"
        )
    for route, topic in link.routes.items():
        if not _fits(agent.output_type, topic.schema):
            raise PipelineError(
                f"{where} gives {_name(agent.output_type)}, but the topic {topic.name!r} of its"
                f" route {route!r} is declared with {_name(topic.schema)}"
            )
    if link.fused and (ignored := _settings_of_the_head(link.stage.config)):
        raise PipelineError(
            f"{where} is fused, so {', '.join(ignored)} would have no effect; set it at the stage"
            " that it is fused to"
        )
    if link.stage.config.policy.uses(ErrorPolicy.SKIP) and not _fits(
        agent.input_type, agent.output_type
    ):
        raise PipelineError(
            f"{where}: the policy skip lets {_name(agent.input_type)} flow on unchanged, but the"
            f" stage gives {_name(agent.output_type)}; use dead_letter() or drop()"
        )


def _settings_of_the_head(config: StageConfig) -> list[str]:
    """Settings other than the default that count for a whole segment."""
    usual = StageConfig()
    return [name for name in _OF_THE_HEAD if getattr(config, name) != getattr(usual, name)]


_OF_THE_HEAD = (
    "concurrency",
    "ordering",
    "max_in_flight_records",
    "max_in_flight_bytes",
    "max_key_backlog_records",
    "on_key_backlog",
    "on_lost_position",
)


def _check_loops(topology: Topology) -> None:
    """Refuse a segment that writes what it or one before it reads: it would run for ever."""
    read: set[str] = set()
    for segment in topology.segments:
        read.add(segment.source)
        if loop := read.intersection(segment.written_topics()):
            raise PipelineError(
                f"pipeline {topology.pipeline!r}, stage {segment.name!r} writes to the topic"
                f" {min(loop)!r} that the pipeline reads; name another output"
            )


def _fits(given: Any, taken: Any) -> bool:
    """Whether a value of the one type can be handed on as the other."""
    if Any in (given, taken) or object in (given, taken) or given == taken:
        return True
    if inspect.isclass(given) and inspect.isclass(taken):
        return issubclass(given, taken)
    # dict[str, Any] and dict: JSON without a schema on both sides.
    return (get_origin(given) or given) is dict and (get_origin(taken) or taken) is dict


def _name(type_: Any) -> str:
    return type_.__name__ if inspect.isclass(type_) else str(type_)
