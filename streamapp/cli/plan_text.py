"""The outline of a pipeline as text for a terminal of 100 columns."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from streamapp.cli.plan_words import batching_words, budget_words, hold_words, policy_words
from streamapp.observability.readable import amount, bytes_amount
from streamapp.pipeline.outline import (
    AgentOutline,
    Calls,
    Outline,
    SegmentOutline,
    StageOutline,
    TopicOutline,
)
from streamapp.pipeline.promises import Statement
from streamapp.pipeline.stage import KeyBacklog, Ordering

WIDTH = 100
"""Columns; only names that are longer themselves go beyond."""

_LABEL = 16

_ORDERS = {
    Ordering.KEY: "by key",
    Ordering.PARTITION: "by partition",
    Ordering.UNORDERED: "none",
}
_BACKLOGS = {
    KeyBacklog.DEAD_LETTER: "they are dead letters",
    KeyBacklog.STOP: "the stage stops",
}


def as_text(outline: Outline) -> str:
    """A paragraph for topics, one for each stage, and what is promised."""
    return "\n".join(line.rstrip() for line in _lines(outline)) + "\n"


def _lines(outline: Outline) -> Iterator[str]:
    stages = [stage.stage for segment in outline.segments for stage in segment.stages]
    yield from _wrapped("", f"Pipeline {outline.pipeline}: {' -> '.join(stages)}")
    yield from _field("audit trail", outline.audit)
    if outline.middleware:
        yield from _field("middleware", ", ".join(outline.middleware))
    if outline.collectors:
        yield from _field("collectors", ", ".join(outline.collectors))
    yield ""
    yield "Topics"
    yield from _topics(outline.topics)
    for segment in outline.segments:
        for i, stage in enumerate(segment.stages):
            yield ""
            yield from _stage(segment, stage, segment.stages[i - 1] if i else None)
    yield from _statements("Promised", outline.promised, stages)
    yield from _statements("Not promised", outline.not_promised, stages)


def _topics(topics: Sequence[TopicOutline]) -> Iterator[str]:
    name_width = max(len(topic.name) for topic in topics)
    roles = [", ".join(topic.roles).replace("_", " ") for topic in topics]
    role_width = max(map(len, roles))
    for topic, role in zip(topics, roles, strict=True):
        yield f"  {topic.name:{name_width}}  {role:{role_width}}  {topic.type or ''}"


def _stage(
    segment: SegmentOutline, stage: StageOutline, before: StageOutline | None
) -> Iterator[str]:
    yield f"Stage {stage.stage}"
    agent = stage.agent
    yield from _field("agent", *_tree(agent))
    if agent.description:
        yield from _field("", agent.description)
    if agent.batching is not None:
        yield from _field("batches", batching_words(agent.batching))
    if before is None:
        yield from _field("reads", f"{', '.join(segment.sources)} as group {segment.group}")
    else:
        yield from _field("reads", f"outputs of {before.stage}, to which it is fused")
    if stage.renamed_from is not None:
        yield from _field("renamed from", stage.renamed_from)
    if stage.output is not None:
        yield from _field("writes", stage.output)
    for route, topic in stage.routes.items():
        yield from _field("", f"{topic} by the route {route}")
    yield from _failures(stage)
    if before is None:
        yield from _bounds(segment)
    yield from _field("attempt", f"at most {stage.timeout_seconds:g} s")


def _failures(stage: StageOutline) -> Iterator[str]:
    yield from _field("on failure", policy_words(stage.policy))
    for one in stage.policy.by_exception:
        yield from _field("", f"{one.exception}: {policy_words(one.policy)}")
    if stage.retry_topics:
        yield from _field("retry topics", *stage.retry_topics)
    yield from _field("in an outage", hold_words(stage.hold))
    if stage.may_dead_letter:
        yield from _field("dead letters", stage.dead_letters)
        yield from _field("", budget_words(stage.dead_letter_budget))
        if stage.replay_topic is not None:
            yield from _field("", f"sent back to {stage.replay_topic} by `streamapp dlq replay`")


def _bounds(segment: SegmentOutline) -> Iterator[str]:
    count = segment.attempts_at_once
    in_batches = segment.stages[0].agent.batching is not None
    one, several = ("batch", "batches") if in_batches else ("attempt", "attempts")
    alone = f"1 {one} at a time" if count == 1 else f"up to {amount(count)} {several} at once"
    yield from _field("concurrency", alone)
    yield from _field("order", _ORDERS[segment.ordering])
    if segment.ordering is Ordering.KEY:
        yield from _field("", _backlog(segment))
    size = bytes_amount(segment.max_in_flight_bytes)
    yield from _field(
        "in flight", f"at most {amount(segment.max_in_flight_records)} records and {size}"
    )
    yield from _field("lost position", segment.on_lost_position)


def _backlog(segment: SegmentOutline) -> str:
    if segment.on_key_backlog is KeyBacklog.WAIT:
        return "any number of records may wait behind a failing one"
    most = amount(segment.max_key_backlog_records)
    given_up = _BACKLOGS[segment.on_key_backlog]
    if any(stage.retry_topics for stage in segment.stages):
        given_up = f"it goes to its next retry topic; if none is left, {given_up}"
    return f"at most {most} records wait behind a failing one, then {given_up}"


def _tree(agent: AgentOutline) -> Iterator[str]:
    yield _named(agent)
    yield from _branches(agent, "")


def _branches(agent: AgentOutline, indent: str) -> Iterator[str]:
    for part in agent.parts:
        is_last = part is agent.parts[-1]
        yield f"{indent}{'└─' if is_last else '├─'} {_named(part)}"
        yield from _branches(part, f"{indent}{'   ' if is_last else '│  '}")


def _named(agent: AgentOutline) -> str:
    kind = "" if agent.kind == "agent" else f"{agent.kind} "
    blocking = ", in a thread" if agent.calls is Calls.BLOCKING else ""
    return f"{kind}{agent.name}: {agent.takes} -> {agent.gives}{blocking}"


def _statements(
    title: str, statements: Sequence[Statement], stages: Sequence[str]
) -> Iterator[str]:
    yield ""
    yield title
    for one in statements:
        some = "" if len(one.stages) == len(stages) else f" ({', '.join(one.stages)})"
        yield from _wrapped("- ", f"{one.text}{some}")


def _field(label: str, *lines: str) -> Iterator[str]:
    for i, line in enumerate(lines):
        yield from _wrapped(f"  {'' if i else label:{_LABEL}}", line)


def _wrapped(start: str, text: str) -> Iterator[str]:
    # Names stay in one piece, so that they can be copied.
    yield from wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
