"""A checked pipeline: which consumer group reads which topic and writes to which topics."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import NoneType
from typing import Any

from streamapp.errors import ConfigurationError, PipelineError
from streamapp.observability.collector import Collectors
from streamapp.pipeline.audit import Audit
from streamapp.pipeline.dead_letter_topics import dead_letters_of
from streamapp.pipeline.middleware import (
    Added,
    AroundMiddleware,
    Middleware,
    StageMiddleware,
    checked_middleware,
)
from streamapp.pipeline.pipeline import Pipeline, StageDeclaration
from streamapp.pipeline.reader import Reader
from streamapp.pipeline.replay_topics import replay_topic_of
from streamapp.pipeline.retry_topics import RetryTopic, check_own_topics, retry_topics_of
from streamapp.pipeline.source import (
    Declared,
    PatternSource,
    Source,
    matching,
    sources_of,
    without_own,
)
from streamapp.pipeline.stage import Stage
from streamapp.pipeline.stage_checks import check_declaration
from streamapp.pipeline.stage_names import check_names
from streamapp.serialisation import Codec, codec_for
from streamapp.topics.topic import Topic, check_topic_name


@dataclass(frozen=True, slots=True)
class Step:
    """One stage with its codec and topics, after the checks.

    Attributes:
        stage: the stage.
        codec: codec of its inputs.
        output: topic of its outputs; `None` if it has none, or if the next step is fused to it.
        routes: topics by the name that `Out(to=…)` uses.
        dead_letters: name of its dead-letter topic.
        audit: what it adds to the audit trail of the data.
        middleware: what runs around its agent, in the order in which it was added.
        collectors: told of each execution of it.
        is_last: whether it is the last stage of its pipeline.
        retry_topics: where its failed records wait if they are retried later, the shortest delay
            first. The segment reads them too, and goes on with this step.
        renamed_from: former name of the stage; `None` if it was not renamed.
    """

    stage: Stage
    codec: Codec[Any]
    output: Topic[Any] | None
    routes: Mapping[str, Topic[Any]]
    dead_letters: str
    audit: Audit = Audit.ERRORS
    middleware: tuple[Added, ...] = ()
    collectors: Collectors | None = None
    is_last: bool = False
    retry_topics: tuple[RetryTopic, ...] = ()
    renamed_from: str | None = None

    def written_topics(self) -> Iterator[str]:
        """Names of all topics that it writes to."""
        yield from self.output_topics()
        yield self.dead_letters
        for topic in self.retry_topics:
            yield topic.name

    def output_topics(self) -> Iterator[str]:
        """Names of the topics that its outputs go to."""
        if self.output is not None:
            yield self.output.name
        for topic in self.routes.values():
            yield topic.name


def middleware_of(step: Step, gives: Codec[Any]) -> StageMiddleware | None:
    """The middleware around the agent of a step, whose outputs have this codec."""
    if not step.middleware:
        return None
    return StageMiddleware(step.middleware, step.stage, step.codec, gives)


@dataclass(frozen=True, slots=True)
class Segment:
    """A step and the steps fused to it: what one consumer group reads, works on and commits.

    Attributes:
        pipeline: name of the pipeline.
        sources: topics that it reads; at least one, or a pattern.
        steps: at least one; the steps after the first are fused to it.
        patterns: further topics that it reads, whose names match.
        bundle: the bundle that it is part of; `None` if it has a group of its own.
    """

    pipeline: str
    sources: tuple[Source, ...]
    steps: tuple[Step, ...]
    patterns: tuple[PatternSource, ...] = ()
    bundle: str | None = None

    @property
    def name(self) -> str:
        """Name of the first stage."""
        return self.steps[0].stage.stage_id

    @property
    def renamed_from(self) -> str | None:
        """Former name of the first stage; `None` if it was not renamed."""
        return self.steps[0].renamed_from

    @property
    def full_name(self) -> str:
        """Its name among the segments of all pipelines; mostly its group."""
        return f"{self.pipeline}.{self.name}"

    @property
    def reader(self) -> Reader | None:
        """What reads its topics, if its agent needs another than the consumer of the broker."""
        return self.steps[0].stage.agent.reader

    @property
    def group(self) -> str:
        """Consumer group."""
        if self.reader is not None:
            return self.reader.group
        return self.full_name if self.bundle is None else self.bundle

    @property
    def source_topics(self) -> tuple[str, ...]:
        """Names of the topics that it reads by name."""
        return tuple(source.topic for source in self.sources)

    @property
    def retry_topics(self) -> Mapping[str, RetryTopic]:
        """The topics in which records wait for a later retry, by name."""
        return {topic.name: topic for step in self.steps for topic in step.retry_topics}

    @property
    def replay_topics(self) -> Mapping[str, int]:
        """Topics that dead letters are sent back to, with the index of the step that goes on.

        They need not exist; those that do are read. What reads for a stage by itself reads none.
        """
        if self.reader is not None:
            return {}
        steps = enumerate(self.steps)
        return {replay_topic_of(f"{self.pipeline}.{one.stage.stage_id}"): i for i, one in steps}

    @property
    def read_topics(self) -> tuple[str, ...]:
        """Names of all topics that it reads by name: its sources, and its own retry topics."""
        return (*self.source_topics, *self.retry_topics)

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of its sources, and its patterns."""
        return (*self.source_topics, *(one.pattern.name for one in self.patterns))

    def sources_among(self, existing: Collection[str]) -> tuple[str, ...]:
        """Names of its sources, by its patterns those that exist.

        Raises:
            TopicError: more match a pattern than its `max_topics`.
        """
        return (*self.source_topics, *matching(self.patterns, existing))

    def topics_among(self, existing: Collection[str]) -> tuple[str, ...]:
        """Names of all topics that it reads: those to replay and by its patterns, if they exist.

        Raises:
            TopicError: more match a pattern than its `max_topics`.
        """
        replays = (name for name in self.replay_topics if name in existing)
        return (*self.read_topics, *replays, *matching(self.patterns, existing))

    def has_source_among(self, topics: Collection[str]) -> bool:
        """Whether one of these topics is a source, by its name or by a pattern."""
        return any(topic in topics for topic in self.source_topics) or any(
            one.matches(topic) for one in self.patterns for topic in topics
        )

    def has_source(self, topic: str) -> bool:
        """Whether a topic of this name is a source, by its name or by a pattern."""
        return topic in self.source_topics or any(one.matches(topic) for one in self.patterns)

    @property
    def attempts_at_once(self) -> int:
        """Largest number of attempts that run at once.

        One, if no agent ever suspends: others could only wait for it. Middleware may suspend.
        """
        if any(step.stage.agent.is_async or step.middleware for step in self.steps):
            return self.steps[0].stage.config.concurrency
        return 1

    def written_topics(self) -> Iterator[str]:
        """Names of all topics that it writes to."""
        for step in self.steps:
            yield from step.written_topics()


@dataclass(frozen=True, slots=True)
class Topology:
    """A checked pipeline.

    Attributes:
        pipeline: name of the pipeline.
        segments: in the order in which records pass through them.
    """

    pipeline: str
    segments: tuple[Segment, ...]

    @property
    def places(self) -> Mapping[str, int]:
        """The place of each stage, from 1, by its name."""
        steps = (step for segment in self.segments for step in segment.steps)
        return {step.stage.stage_id: place for place, step in enumerate(steps, 1)}

    def topics(self) -> tuple[str, ...]:
        """Names of all topics that the pipeline reads or writes, without repetition."""
        names: dict[str, None] = {}
        for segment in self.segments:
            names.update(dict.fromkeys(segment.source_topics))
            names.update(dict.fromkeys(segment.written_topics()))
        return tuple(names)


def with_middleware(
    topology: Topology, middleware: Sequence[Middleware | AroundMiddleware]
) -> Topology:
    """The same pipeline with middleware around all that it has."""
    added = tuple(checked_middleware(topology.pipeline, one) for one in middleware)
    return replace(
        topology,
        segments=tuple(_around_steps(segment, added) for segment in topology.segments),
    )


def _around_steps(segment: Segment, added: tuple[Added, ...]) -> Segment:
    steps = (replace(step, middleware=(*added, *step.middleware)) for step in segment.steps)
    return replace(segment, steps=tuple(steps))


def build(pipeline: Pipeline[Any, Any], *, needs_sink: bool = True) -> Topology:
    """Check a pipeline and divide it into segments.

    Args:
        pipeline: the pipeline.
        needs_sink: whether the outputs of the last stage need a topic; in process they do not.

    Raises:
        PipelineError: it has no stage, two stages have the same name, types do not fit, a stage
            cannot read what the one before it writes, a stage whose input and output types differ
            has the policy `skip`, or outputs have no topic.
    """
    declarations = pipeline.declarations
    if not declarations:
        raise PipelineError(f"pipeline {pipeline.name!r} has no stage; add one with .stage(agent)")
    check_names(pipeline)
    for added in pipeline.added:
        added.check(f"pipeline {pipeline.name!r}", pipeline.stages)
    segments: list[Segment] = []
    steps: list[Step] = []
    declared_sources: tuple[Declared, ...] = pipeline.sources
    for i, declared in enumerate(declarations):
        following = declarations[i + 1] if i + 1 < len(declarations) else None
        check_declaration(pipeline, i)
        step = _step(pipeline, declared, following, needs_sink=needs_sink)
        steps.append(step)
        if following is None or not following.fused:
            sources, patterns = sources_of(declared_sources, steps[0].codec)
            segments.append(Segment(pipeline.name, sources, tuple(steps), patterns))
            steps = []
            declared_sources = declared_sources if step.output is None else (step.output,)
    topology = Topology(pipeline.name, tuple(segments))
    _check_loops(topology)
    _check_retry_topics(topology)
    if segments[0].patterns:
        patterns = without_own(segments[0].patterns, topology.topics())
        segments[0] = replace(segments[0], patterns=patterns)
    return Topology(pipeline.name, tuple(segments))


def pipeline_faults(
    pipeline: Pipeline[Any, Any],
) -> Iterator[tuple[int | None, ConfigurationError]]:
    """What is wrong with a pipeline as a whole, or with a stage at its place from 0.

    `build` tells the first alone, and what only shows when all this is right.
    """
    declarations = pipeline.declarations
    of_names = [(None, partial(check_names, pipeline))]
    of_whole = [
        (None, partial(added.check, f"pipeline {pipeline.name!r}", pipeline.stages))
        for added in pipeline.added
    ]
    of_stages = [(i, partial(check_declaration, pipeline, i)) for i in range(len(declarations))]
    of_topics = [
        (i, partial(_step, pipeline, declared, following, needs_sink=False))
        for i, (declared, following) in enumerate(
            zip(declarations, [*declarations[1:], None], strict=True)
        )
    ]
    wrong_names = list(_failed(of_names))
    yield from wrong_names
    yield from _failed([*of_whole, *of_stages])
    if not wrong_names:  # topics are called after the stages
        yield from _failed(of_topics)


def _failed(
    checks: Iterable[tuple[int | None, Callable[[], object]]],
) -> Iterator[tuple[int | None, ConfigurationError]]:
    for place, check in checks:
        try:
            check()
        except ConfigurationError as error:
            yield place, error


def _step(
    pipeline: Pipeline[Any, Any],
    declared: StageDeclaration,
    following: StageDeclaration | None,
    *,
    needs_sink: bool,
) -> Step:
    stage_id = declared.stage.stage_id
    agent = declared.stage.agent
    dead_letters = declared.dead_letters or dead_letters_of(f"{pipeline.name}.{stage_id}")
    check_topic_name(dead_letters)
    output = declared.output
    if following is not None and following.fused:
        if output is not None:
            raise PipelineError(
                f"pipeline {pipeline.name!r}: stage {stage_id!r} has an output topic, but"
                f" {following.stage.stage_id!r} is fused to it; drop one of the two"
            )
    elif output is None and agent.output_type is not NoneType:
        if following is None and needs_sink:
            raise PipelineError(
                f"pipeline {pipeline.name!r}: the outputs of the last stage {stage_id!r} go"
                ' nowhere; give the pipeline a sink: .sink(topic), or "sink" in a file'
            )
        if following is not None:
            output = Topic(f"{pipeline.name}.{stage_id}", agent.output_type)
    return Step(
        declared.stage,
        codec_for(agent.input_type),
        output,
        declared.routes,
        dead_letters,
        pipeline.audit,
        pipeline.added,
        pipeline.collectors,
        is_last=following is None,
        retry_topics=retry_topics_of(f"{pipeline.name}.{stage_id}", declared.stage.config.policy),
        renamed_from=declared.renamed_from,
    )


def _check_loops(topology: Topology) -> None:
    """Refuse a segment that writes to its own source or an earlier one: an endless loop."""
    read: set[str] = set()
    for segment in topology.segments:
        read.update(segment.source_topics)
        if loop := read.intersection(segment.written_topics()):
            raise PipelineError(
                f"pipeline {topology.pipeline!r}, stage {segment.name!r} writes to the topic"
                f" {min(loop)!r} that the pipeline reads; name another output"
            )


def _check_retry_topics(topology: Topology) -> None:
    """Refuse a retry topic or a replay topic that is something else as well."""
    retry = {name for segment in topology.segments for name in segment.retry_topics}
    replay = {name for segment in topology.segments for name in segment.replay_topics}
    others = [name for segment in topology.segments for name in segment.source_topics]
    for segment in topology.segments:
        for step in segment.steps:
            others += [*step.output_topics(), step.dead_letters]
    check_own_topics(topology.pipeline, "retry", retry, others)
    check_own_topics(topology.pipeline, "replay", replay, [*others, *retry])
