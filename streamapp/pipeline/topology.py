"""A checked pipeline: which consumer group reads which topic and writes to which topics."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from streamapp.errors import PipelineError
from streamapp.observability.collector import Collectors
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.audit import Audit
from streamapp.pipeline.effects import check_effects
from streamapp.pipeline.fits import fits, type_name
from streamapp.pipeline.middleware import Added, StageMiddleware
from streamapp.pipeline.pipeline import Pipeline, StageDeclaration
from streamapp.pipeline.readable import why_unreadable
from streamapp.pipeline.retry_topics import RetryTopic, check_retry_topics, retry_topics_of
from streamapp.pipeline.stage import Stage
from streamapp.policies.policy import ErrorPolicy
from streamapp.serialisation import Codec, codec_for
from streamapp.tombstones import takes_tombstones, value_type
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
class Source:
    """A topic that a segment reads.

    Attributes:
        topic: its name.
        codec: codec of its values; they decode to what the first step takes.
    """

    topic: str
    codec: Codec[Any]


@dataclass(frozen=True, slots=True)
class Segment:
    """A step and the steps fused to it: what one consumer group reads, works on and commits.

    Attributes:
        pipeline: name of the pipeline.
        sources: topics that it reads, at least one.
        steps: at least one; the steps after the first are fused to it.
        renamed_from: former name of the first stage; `None` if it was not renamed.
    """

    pipeline: str
    sources: tuple[Source, ...]
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

    @property
    def source_topics(self) -> tuple[str, ...]:
        """Names of the topics that it reads."""
        return tuple(source.topic for source in self.sources)

    @property
    def retry_topics(self) -> Mapping[str, RetryTopic]:
        """The topics in which records wait for a later retry, by name."""
        return {topic.name: topic for step in self.steps for topic in step.retry_topics}

    @property
    def read_topics(self) -> tuple[str, ...]:
        """Names of all topics that it reads: its sources, and its own retry topics."""
        return (*self.source_topics, *self.retry_topics)

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

    def topics(self) -> tuple[str, ...]:
        """Names of all topics that the pipeline reads or writes, without repetition."""
        names: dict[str, None] = {}
        for segment in self.segments:
            names.update(dict.fromkeys(segment.source_topics))
            names.update(dict.fromkeys(segment.written_topics()))
        return tuple(names)


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
    _check_names(pipeline)
    for added in pipeline.added:
        added.check(f"pipeline {pipeline.name!r}", pipeline.stages)
    segments: list[Segment] = []
    steps: list[Step] = []
    topics = pipeline.sources
    renamed_from: str | None = None
    for i, declared in enumerate(declarations):
        following = declarations[i + 1] if i + 1 < len(declarations) else None
        _check_declaration(pipeline, i)
        step = _step(pipeline, declared, following, needs_sink=needs_sink)
        steps.append(step)
        renamed_from = renamed_from if declared.fused else declared.renamed_from
        if following is None or not following.fused:
            sources = _sources(topics, steps[0].codec)
            segments.append(Segment(pipeline.name, sources, tuple(steps), renamed_from))
            steps = []
            topics = topics if step.output is None else (step.output,)
    topology = Topology(pipeline.name, tuple(segments))
    _check_loops(topology)
    _check_retry_topics(topology)
    return topology


def _sources(topics: Sequence[Topic[Any]], taken: Codec[Any]) -> tuple[Source, ...]:
    """The sources of a segment whose first step takes values of one codec.

    A single topic is read as what the stage takes. Of several, each is read as what it is declared
    with: a value of one type might be read as one of another, if the stage takes both.
    """
    if len(topics) == 1:
        return (Source(topics[0].name, taken),)
    return tuple(
        Source(topic.name, taken if topic.schema is Any else topic.codec) for topic in topics
    )


def _step(
    pipeline: Pipeline[Any, Any],
    declared: StageDeclaration,
    following: StageDeclaration | None,
    *,
    needs_sink: bool,
) -> Step:
    stage_id = declared.stage.stage_id
    agent = declared.stage.agent
    dead_letters = declared.dead_letters or f"{pipeline.name}.{stage_id}.dlq"
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
                " nowhere; name a topic with .sink(topic)"
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
    )


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
    first = pipeline.declarations[0]
    if first.fused:
        raise PipelineError(
            f"pipeline {pipeline.name!r}: the first stage {first.stage.stage_id!r}"
            " cannot be fused: there is no stage before it"
        )


def _check_old_names(pipeline: Pipeline[Any, Any], names: Collection[str]) -> None:
    """Require each `renamed_from` to be unique, and not on a fused stage."""
    taken = set(names)
    for declared in pipeline.declarations:
        old = declared.renamed_from
        if old is None:
            continue
        where = (
            f"pipeline {pipeline.name!r}, stage {declared.stage.stage_id!r}: renamed_from={old!r}"
        )
        check_topic_name(old)
        if old in taken:
            raise PipelineError(
                f"{where} is the name of a stage, or is given to another stage as well"
            )
        if declared.fused:
            raise PipelineError(
                f"{where} would have no effect: a fused stage reads no topic; drop it"
            )
        taken.add(old)


def _check_declaration(pipeline: Pipeline[Any, Any], i: int) -> None:
    declared = pipeline.declarations[i]
    agent = declared.stage.agent
    where = f"pipeline {pipeline.name!r}, stage {declared.stage.stage_id!r}"
    if i == 0:
        for source in pipeline.sources:
            _check_input(where, agent, source.schema, f"topic {source.name!r}")
    else:
        before = pipeline.declarations[i - 1]
        given, giver = before.stage.agent.output_type, f"stage {before.stage.stage_id!r}"
        if given is NoneType:
            raise PipelineError(f"{where} has nothing to read: {giver} gives no outputs")
        _check_input(where, agent, given, giver)
        if (reason := why_unreadable(given, agent.input_type)) is not None:
            raise PipelineError(f"{where} cannot read what {giver} writes: {reason}")
    # The type of a topic is that of its values, and a tombstone has none.
    values = value_type(agent.output_type)
    if declared.output is not None and not fits(values, declared.output.schema):
        raise PipelineError(
            f"{where} gives {type_name(agent.output_type)}, but its topic {declared.output.name!r}"
            f" is declared with {type_name(declared.output.schema)}"
        )
    for route, topic in declared.routes.items():
        if not fits(values, topic.schema):
            raise PipelineError(
                f"{where} gives {type_name(agent.output_type)}, but the topic {topic.name!r} of its"
                f" route {route!r} is declared with {type_name(topic.schema)}"
            )
    check_effects(where, declared.stage.config, fused=declared.fused)
    if declared.stage.config.policy.uses(ErrorPolicy.SKIP) and not _fits(
        agent.input_type, agent.output_type
    ):
        raise PipelineError(
            f"{where}: the policy skip lets {type_name(agent.input_type)} flow on unchanged, but"
            f" the stage gives {type_name(agent.output_type)}; use dead_letter() or drop()"
        )


def _check_input(where: str, agent: Agent[Any, Any], given: Any, giver: str) -> None:
    """Require the agent to take what a topic or a stage gives."""
    if not _fits(given, agent.input_type):
        raise PipelineError(
            f"{where} takes {type_name(agent.input_type)}, but {giver} gives {type_name(given)}"
            + (_TOMBSTONES if _fits(value_type(given), agent.input_type) else "")
        )


def _fits(given: Any, taken: Any) -> bool:
    """Whether an agent that takes one type can be given another, tombstones included.

    To a type checker `None` is of the type `Any` too, but only `X | None` declares tombstones.
    """
    has_tombstones = takes_tombstones(given) and not takes_tombstones(taken)
    return fits(given, taken) and not has_tombstones


_TOMBSTONES = ", tombstones too; annotate its input with | None, which stands for them"


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
    """Refuse a retry topic that is something else as well."""
    own = {name for segment in topology.segments for name in segment.retry_topics}
    others = [name for segment in topology.segments for name in segment.source_topics]
    for segment in topology.segments:
        for step in segment.steps:
            others += [*step.output_topics(), step.dead_letters]
    check_retry_topics(topology.pipeline, own, others)
