"""Settings of a declared pipeline that have no effect beside others, and where they stand."""

from collections.abc import Iterator, Sequence
from typing import Any

from streamapp.configuration.composition import Branch, Combined, Pool, walk_composition
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.declared_policy import DeclaredPolicy
from streamapp.configuration.declared_stage import DeclaredStage
from streamapp.configuration.declared_topics import TopicEnd
from streamapp.configuration.secrets import Path
from streamapp.configuration.warnings import PlacedWarning
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import KeyBacklog, Ordering
from streamapp.policies.policy import ErrorPolicy, Policy

_RETRYING = (ErrorPolicy.RETRY, ErrorPolicy.RETRY_LATER)


def idle_settings(
    declared: DeclaredPipeline, made: Pipeline[Any, Any] | None, where: Path
) -> Iterator[PlacedWarning]:
    """Settings that the file gives and that change nothing.

    Args:
        declared: the pipeline.
        made: what was made of it; `None` if it cannot be made, and its agents say nothing.
        where: where it is declared.
    """
    if declared.exclude and all(stage.agent is not None for stage in declared.stages):
        told = "every stage names its agents, so none is chosen"
        yield (*where, "exclude"), _idle(told)
    yield from _of_partitions(declared, where)
    for place, stage in enumerate(declared.stages):
        at: Path = (*where, "stages", place)
        for field, told in (*_of_policy(stage), *_of_failures(stage)):
            yield (*at, field), _idle(told)
        for name, policy in stage.by_exception.items():
            for field, told in _of_policy(policy):
                yield (*at, "by_exception", name, field), _idle(told)
        for path, told in (*_of_batching(stage), *_of_composition(stage)):
            yield (*at, *path), _idle(told)
        for field, told in () if made is None else _of_agents(stage, made, place):
            yield (*at, field), _idle(told)


def _idle(because: str) -> str:
    return f"this has no effect, since {because}; leave it out"


_Idle = tuple[str, str]
"""A field, and why it has no effect."""


def _of_policy(policy: DeclaredPolicy) -> Iterator[_Idle]:
    """Fields that belong to another policy than the one that is chosen."""
    said, chosen = policy.model_fields_set, policy.error_policy
    if chosen is not ErrorPolicy.RETRY:
        for field in ("retry_count", "backoff"):
            if field in said:
                yield field, f'error_policy is "{chosen}", and only "retry" retries at once'
    elif policy.retry_count == 0 and "backoff" in said:
        yield "backoff", "retry_count is 0"
    if chosen not in _RETRYING and "then" in said:
        yield "then", f'error_policy is "{chosen}", after which nothing follows'


def _of_failures(stage: DeclaredStage) -> Iterator[_Idle]:
    """Fields about dead letters and backlogs that never come to be."""
    said, policy = stage.model_fields_set, stage.config().policy
    if not _may_dead_letter(policy):
        for field in ("dead_letters", "dead_letter_budget"):
            if field in said and getattr(stage, field) is not None:
                yield field, "its policies make no dead letters"
    if "max_key_backlog_records" in said:
        if stage.ordering is not Ordering.KEY:
            yield "max_key_backlog_records", f'ordering is "{stage.ordering}", and not "key"'
        elif stage.on_key_backlog is KeyBacklog.WAIT:
            yield "max_key_backlog_records", 'on_key_backlog is "wait"'


def _of_partitions(declared: DeclaredPipeline, where: Path) -> Iterator[PlacedWarning]:
    """A first stage that works on one record of each partition, of which there are too few."""
    first = declared.stages[0]
    if first.ordering is not Ordering.PARTITION or "concurrency" not in first.model_fields_set:
        return
    counts = {one.name: one.partitions for one in declared.topics}
    several = declared.source if isinstance(declared.source, list) else [declared.source]
    names = [one.topic if isinstance(one, TopicEnd) else one for one in several]
    known = [counts.get(name) if isinstance(name, str) else None for name in names]
    partitions = sum(one or 0 for one in known)
    if None not in known and first.concurrency > partitions:
        told = (
            f'more than {partitions} has no effect: ordering is "partition", and the topics of'
            f" source are declared with {partitions} partitions; lower it"
        )
        yield (*where, "stages", 0, "concurrency"), told


def _may_dead_letter(policy: Policy) -> bool:
    """Whether a record may become one, also since a failing one of its key is retried."""
    ends = ErrorPolicy.DEAD_LETTER, ErrorPolicy.SKIP  # what does not decode cannot be passed on
    retries = policy.is_retry or any(one.is_retry for _, one in policy.by_exception)
    return retries or any(policy.uses(end) for end in ends)


def _of_batching(stage: DeclaredStage) -> Iterator[tuple[Path, str]]:
    one = stage.batching
    if one is not None and one.size == 1 and "linger_seconds" in one.model_fields_set:
        yield ("batching", "linger_seconds"), "a batch of one record waits for no others"


def _of_composition(stage: DeclaredStage) -> Iterator[tuple[Path, str]]:
    if not isinstance(stage.agent, Combined):
        return
    for path, one in walk_composition(stage.agent, ("agent",)):
        if isinstance(one, Branch) and one.retry_count == 0 and "backoff" in one.model_fields_set:
            yield (*path, "backoff"), "retry_count is 0"
        if isinstance(one, Pool) and len(one.pool) == 1 and "weights" in one.model_fields_set:
            yield (*path, "weights"), "the pool has one member"


def _of_agents(stage: DeclaredStage, made: Pipeline[Any, Any], place: int) -> Iterator[_Idle]:
    """Fields that the agents of the stage make no use of."""
    said = stage.model_fields_set
    agent = made.declarations[place].stage.agent
    if "routes" in said and stage.routes and not agent.results.out:
        yield "routes", f"the agent {agent.name!r} sends to no routes"
    if made.added:
        return  # middleware may wait, and be interrupted
    if "timeout_seconds" in said and _is_plain(agent):
        yield "timeout_seconds", f"the agent {agent.name!r} is a plain function that never waits"
    if "concurrency" in said and stage.concurrency > 1:
        fused = _fused_to(made, place)
        if all(map(_is_plain, fused)):
            told = f"the agent {agent.name!r} is a plain function that never waits for others"
            yield "concurrency", told


def _fused_to(made: Pipeline[Any, Any], place: int) -> Sequence[Agent[Any, Any]]:
    """The agents of a stage and of those that are fused to it."""
    found = [made.declarations[place].stage.agent]
    for declared in made.declarations[place + 1 :]:
        if not declared.fused:
            break
        found.append(declared.stage.agent)
    return found


def _is_plain(agent: Agent[Any, Any]) -> bool:
    """Whether its calls run one after the other, and cannot be interrupted."""
    while agent.kind == "read_as":
        agent = agent.parts[0]
    return not agent.parts and not agent.is_async and agent.batching is None
