"""What a pipeline is, in names and numbers: for `streamapp plan`, which prints it in several forms.

An outline holds no functions, types or codecs, so it can be written as JSON as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from streamapp.pipeline.agent import Agent
from streamapp.pipeline.audit import Audit
from streamapp.pipeline.batching import Batching
from streamapp.pipeline.fits import type_name
from streamapp.pipeline.promises import (
    Statement,
    may_dead_letter,
    may_hold,
    not_promised,
    promised,
)
from streamapp.pipeline.stage import AfterHold, KeyBacklog, LostPosition, Ordering
from streamapp.pipeline.topology import Segment, Step, Topology
from streamapp.policies.backoff import Backoff
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import DeadLetterBudget
from streamapp.policies.policy import ErrorPolicy, Policy

_MODULES = re.compile(r"(?<![\w.'\"])(?:(?:[^\W\d]\w*|<locals>)\.)+(?=[^\W\d])")


class TopicRole(StrEnum):
    """What a topic is to a pipeline."""

    SOURCE = "source"  # what the first stage reads
    PATTERN = "pattern"  # no topic, but those whose names match, which the first stage reads
    BETWEEN = "between"  # outputs of a stage, which the next one reads
    SINK = "sink"  # outputs of the last stage
    ROUTE = "route"  # outputs that name a route
    DEAD_LETTERS = "dead_letters"  # records that failed for good
    RETRIES = "retries"  # records that failed, and wait until they are retried


class Calls(StrEnum):
    """How an agent is called."""

    PLAIN = "plain"  # it never waits
    ASYNC = "async"  # it waits with `await`
    BLOCKING = "blocking"  # it waits in a thread


@dataclass(frozen=True, slots=True)
class AgentOutline:
    """An agent and the parts it is made of, a tree.

    Attributes:
        name: name of the agent.
        kind: `agent`, or the combinator it was made by.
        takes, gives: names of the types of its inputs and outputs.
        calls: how it is called.
        description: one line on what it does.
        batching: when it is called with several records, if it takes batches; else `None`.
        parts: the agents it is made of, in the order of their declaration.
    """

    name: str
    kind: str
    takes: str
    gives: str
    calls: Calls
    description: str
    batching: Batching | None
    parts: "tuple[AgentOutline, ...]"


@dataclass(frozen=True, slots=True)
class ExceptionOutline:
    """The policy for one type of exception.

    Attributes:
        exception: name of the type.
        policy: what happens to a record that failed with it.
    """

    exception: str
    policy: "PolicyOutline"


@dataclass(frozen=True, slots=True)
class PolicyOutline:
    """What happens to a record that failed.

    Attributes:
        action: what happens.
        retries: number of retries.
        backoff: waits between them; `None` without retries.
        then: what happens when they are used up; `None` without retries.
        by_exception: other policies for these exceptions, the first that fits counts.
        delays_seconds: how long it waits in retry topics before `then`, one after the other.
    """

    action: ErrorPolicy
    retries: int
    backoff: Backoff | None
    then: ErrorPolicy | None
    by_exception: tuple[ExceptionOutline, ...]
    delays_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class HoldOutline:
    """How records are held while what a stage depends on is down.

    Attributes:
        breaker: when that begins and ends.
        max_hold_seconds: longest time; `None` is no limit.
        after_hold: what happens then.
    """

    breaker: BreakerConfig
    max_hold_seconds: float | None
    after_hold: AfterHold


@dataclass(frozen=True, slots=True)
class StageOutline:
    """A stage.

    Attributes:
        stage: name of the stage.
        renamed_from: its former name; `None` if it was not renamed.
        agent: its agent.
        output: topic of its outputs; `None` if it has none, or if a fused stage takes them.
        routes: route and topic, for each route.
        dead_letters: its dead-letter topic.
        retry_topics: where its records wait for a later retry, and how many seconds they do.
        replay_topic: where it finds dead letters that are sent back to it, if there is such a
            topic; `None` if it reads none.
        may_dead_letter: whether any failure makes a dead letter.
        timeout_seconds: deadline of one attempt.
        max_outputs_per_record: an attempt with more outputs fails.
        policy: what happens to a record that failed.
        hold: how records are held; `None` if they never are.
        dead_letter_budget: how many dead letters are too many; `None` is any number.
    """

    stage: str
    renamed_from: str | None
    agent: AgentOutline
    output: str | None
    routes: dict[str, str]
    dead_letters: str
    retry_topics: dict[str, float]
    replay_topic: str | None
    may_dead_letter: bool
    timeout_seconds: float
    max_outputs_per_record: int
    policy: PolicyOutline
    hold: HoldOutline | None
    dead_letter_budget: DeadLetterBudget | None


@dataclass(frozen=True, slots=True)
class SegmentOutline:
    """Stages that share a consumer group; all but the first are fused.

    Attributes:
        group: name of the consumer group.
        sources: topics that it reads, and patterns of topics.
        ordering: which records of a partition are worked on one at a time.
        attempts_at_once: largest number of attempts that run at once.
        max_in_flight_records, max_in_flight_bytes: bounds of what is taken and not finished.
        max_key_backlog_records: bound of the records that wait behind a failing one of their key.
        on_key_backlog: what gives way then.
        on_lost_position: what happens when retention has deleted the next records.
        stages: in the order in which records pass through them.
    """

    group: str
    sources: tuple[str, ...]
    ordering: Ordering
    attempts_at_once: int
    max_in_flight_records: int
    max_in_flight_bytes: int
    max_key_backlog_records: int
    on_key_backlog: KeyBacklog
    on_lost_position: LostPosition
    stages: tuple[StageOutline, ...]


@dataclass(frozen=True, slots=True)
class TopicOutline:
    """A topic of a pipeline, or a pattern of topics.

    Attributes:
        name: its name.
        roles: what it is to the pipeline, mostly one thing.
        type: name of the type of its values; `None` for dead letters and retries, which are kept as
            they came.
        written_by, read_by: names of stages.
    """

    name: str
    roles: tuple[TopicRole, ...]
    type: str | None
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """A pipeline.

    Attributes:
        pipeline: name of the pipeline.
        audit: what the stages add to the audit trail.
        middleware: names of what runs around every stage, in the order in which it was added.
        collectors: names of the classes that are told of each execution.
        segments: in the order in which records pass through them.
        topics: in the same order.
        promised, not_promised: what can be relied on, and what not.
    """

    pipeline: str
    audit: Audit
    middleware: tuple[str, ...]
    collectors: tuple[str, ...]
    segments: tuple[SegmentOutline, ...]
    topics: tuple[TopicOutline, ...]
    promised: tuple[Statement, ...]
    not_promised: tuple[Statement, ...]


def outline_of(topology: Topology) -> Outline:
    """The outline of a checked pipeline."""
    first = topology.segments[0].steps[0]  # all stages have the same middleware and collectors
    collectors = first.collectors.collectors if first.collectors else ()
    return Outline(
        pipeline=topology.pipeline,
        audit=first.audit,
        middleware=tuple(added.name for added in first.middleware),
        collectors=tuple(type(one).__name__ for one in collectors),
        segments=tuple(_segment(segment) for segment in topology.segments),
        topics=_topics(topology),
        promised=promised(topology),
        not_promised=not_promised(topology),
    )


def _segment(segment: Segment) -> SegmentOutline:
    config = segment.steps[0].stage.config
    return SegmentOutline(
        group=segment.group,
        sources=segment.source_names,
        ordering=config.ordering,
        attempts_at_once=segment.attempts_at_once,
        max_in_flight_records=config.max_in_flight_records,
        max_in_flight_bytes=config.max_in_flight_bytes,
        max_key_backlog_records=config.max_key_backlog_records,
        on_key_backlog=config.on_key_backlog,
        on_lost_position=config.on_lost_position,
        stages=tuple(_stage(segment, step) for step in segment.steps),
    )


def _replay_topic(segment: Segment, step: Step) -> str | None:
    own = segment.replay_topics.items()
    return next((name for name, i in own if segment.steps[i] is step), None)


def _stage(segment: Segment, step: Step) -> StageOutline:
    config = step.stage.config
    hold = None
    if config.breaker is not None and may_hold(step):
        hold = HoldOutline(config.breaker, config.max_hold_seconds, config.after_hold)
    return StageOutline(
        stage=step.stage.stage_id,
        renamed_from=step.renamed_from,
        agent=_agent(step.stage.agent),
        output=None if step.output is None else step.output.name,
        routes={route: topic.name for route, topic in step.routes.items()},
        dead_letters=step.dead_letters,
        retry_topics={topic.name: topic.delay_seconds for topic in step.retry_topics},
        replay_topic=_replay_topic(segment, step),
        may_dead_letter=may_dead_letter(segment, step),
        timeout_seconds=config.timeout_seconds,
        max_outputs_per_record=config.max_outputs_per_record,
        policy=_policy(config.policy),
        hold=hold,
        dead_letter_budget=config.dead_letter_budget,
    )


def _agent(agent: Agent[Any, Any]) -> AgentOutline:
    waits = Calls.ASYNC if agent.is_async else Calls.PLAIN
    return AgentOutline(
        name=agent.name,
        kind=agent.kind,
        takes=_short(agent.input_type),
        gives=_short(agent.output_type),
        calls=Calls.BLOCKING if agent.blocking else waits,
        description=agent.description,
        batching=agent.batching,
        parts=tuple(_agent(part) for part in agent.parts),
    )


def _policy(policy: Policy) -> PolicyOutline:
    # A policy for an exception type has no others for further types.
    others = [(kind, replace(one, by_exception=())) for kind, one in policy.by_exception]
    retries = policy.action is ErrorPolicy.RETRY
    return PolicyOutline(
        action=policy.action,
        retries=policy.retries,
        backoff=policy.backoff if retries else None,
        then=policy.then if policy.is_retry else None,
        by_exception=tuple(ExceptionOutline(kind.__name__, _policy(one)) for kind, one in others),
        delays_seconds=policy.delays_seconds,
    )


def _topics(topology: Topology) -> tuple[TopicOutline, ...]:
    uses = list(_uses(topology))
    patterns = [use.topic for use in uses if use.role is TopicRole.PATTERN]
    return tuple(
        TopicOutline(
            name=name,
            roles=tuple(dict.fromkeys(use.role for use in uses if use.topic == name)),
            type=next((use.type for use in uses if use.topic == name and use.type), None),
            written_by=_stages(use.writer for use in uses if use.topic == name),
            read_by=_stages(use.reader for use in uses if use.topic == name),
        )
        for name in (*patterns, *topology.topics())
    )


@dataclass(frozen=True, slots=True)
class _Use:
    """One use of a topic."""

    topic: str
    role: TopicRole
    type: str | None = None
    writer: str | None = None
    reader: str | None = None


def _uses(topology: Topology) -> Iterator[_Use]:
    written = {name for segment in topology.segments for name in segment.written_topics()}
    for segment in topology.segments:
        for source in segment.sources:
            role = TopicRole.BETWEEN if source.topic in written else TopicRole.SOURCE
            yield _Use(source.topic, role, _short(source.codec.schema), reader=segment.name)
        for one in segment.patterns:
            type_ = _short(one.codec.schema)
            yield _Use(one.pattern.name, TopicRole.PATTERN, type_, reader=segment.name)
        for step in segment.steps:
            yield from _writes(step)
            for topic in step.retry_topics:
                stage = step.stage.stage_id
                yield _Use(topic.name, TopicRole.RETRIES, writer=stage, reader=segment.name)


def _writes(step: Step) -> Iterator[_Use]:
    stage = step.stage.stage_id
    if step.output is not None:
        role = TopicRole.SINK if step.is_last else TopicRole.BETWEEN
        yield _Use(step.output.name, role, _short(step.output.schema), writer=stage)
    for topic in step.routes.values():
        yield _Use(topic.name, TopicRole.ROUTE, _short(topic.schema), writer=stage)
    yield _Use(step.dead_letters, TopicRole.DEAD_LETTERS, writer=stage)


def _stages(names: Iterator[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _short(type_: Any) -> str:
    """The name of a type without the modules that it and its arguments are from."""
    return "None" if type_ is type(None) else _MODULES.sub("", type_name(type_))
