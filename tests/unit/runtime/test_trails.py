"""The audit trail on its way through a running pipeline, on every way that a record can take."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.pipeline.trail import Trail, trail_from
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, drop, retry, skip
from streamapp.record import CONTEXT_HEADER, Headers
from streamapp.topics.topic import Topic
from tests.unit.runtime.agents import same
from tests.unit.runtime.virtual import broker_with, in_virtual_time, service

RETRY = retry(3, backoff=Backoff(base_seconds=1))
TRACE: Headers = [("traceparent", b"00-aa-bb-01"), ("tracestate", b"v=1")]


def note(context: Context) -> None:
    context.metadata.setdefault("by", []).append(f"{context.stage_id} {context.attempt}")


@agent
def plain(value: bytes, context: Context) -> bytes:
    note(context)
    return value


@agent
async def at_once(value: bytes, context: Context) -> bytes:
    note(context)
    return value


@agent
def listing(value: bytes, context: Context) -> list[bytes]:
    note(context)
    return [value]


@agent
def renaming(value: bytes, context: Context) -> Out[bytes]:
    note(context)
    return Out(value, key="new", headers=[("own", b"1")])


@agent
async def yielding(value: bytes, context: Context) -> AsyncIterator[bytes]:
    note(context)
    yield value


@agent
def flaky(value: bytes, context: Context) -> bytes:
    """Add to the metadata, and fail at the first attempt."""
    note(context)
    if context.attempt == 1:
        raise OSError("busy")
    return value


@agent
def failing(value: bytes) -> bytes:
    assert value
    raise ValueError("no")


WAYS = [plain, at_once, listing, renaming, yielding]


async def run(
    *steps: tuple[Agent[Any, Any], Policy], audit: str, fused: bool, headers: Headers = TRACE
) -> tuple[list[Headers], list[Headers], list[int]]:
    """Headers of outputs and of the last stage's dead letters; unreadable contexts by stage."""
    names = [f"s{i}" for i in range(len(steps))]
    topics = [*(f"p.{name}" for name in names), *(f"p.{name}.dlq" for name in names)]
    broker = await broker_with("in", "out", *topics)
    pipeline: Pipeline[Any, Any] = Pipeline("p", source=Topic("in", bytes), audit=audit)
    for i, (step, policy) in enumerate(steps):
        pipeline = pipeline.stage(step, name=names[i], fused=fused and i > 0, on_error=policy)
    await broker.write("in", *((b"k%d" % n, b"%d" % n) for n in range(3)), headers=headers)
    running = service(broker, build(pipeline.sink("out")))
    await running.run(until_end=True)
    return (
        [list(record.headers) for record in broker.records("out")],
        [list(record.headers) for record in broker.records(f"p.{names[-1]}.dlq")],
        [metrics.unreadable_contexts for metrics in running.metrics],
    )


def trail_in(headers: Headers) -> Trail:
    found = trail_from(dict(headers)[CONTEXT_HEADER])
    assert found is not None
    return found


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("step", WAYS, ids=lambda step: step.name)
@in_virtual_time
async def test_metadata_travel_on_every_way(step: Agent[Any, Any], *, fused: bool) -> None:
    steps = [(step, dead_letter()), (same, dead_letter()), (step, dead_letter())]
    outputs, _, _ = await run(*steps, audit="off", fused=fused)
    assert len(outputs) == 3
    for headers in outputs:
        assert trail_in(headers).metadata == {"by": ["s0 1", "s2 1"]}
        others = [header for header in headers if header[0] != CONTEXT_HEADER]
        assert others == ([("own", b"1")] if step is renaming else TRACE)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("step", [same, failing], ids=["same", "skipped"])
@in_virtual_time
async def test_nothing_is_added_where_nobody_asks(step: Agent[Any, Any], *, fused: bool) -> None:
    steps = [(step, skip()), (same, dead_letter())]
    outputs, _, _ = await run(*steps, audit="off", fused=fused)
    assert outputs == [TRACE] * 3


@pytest.mark.parametrize("fused", [False, True])
@in_virtual_time
async def test_a_context_that_a_stage_does_not_look_at_passes_unchanged(*, fused: bool) -> None:
    odd = [*TRACE, (CONTEXT_HEADER, b'{ "v":1, "start": 5, "metadata": {"a": 1} }')]
    steps = [(same, dead_letter()), (same, dead_letter())]
    assert (await run(*steps, audit="errors", fused=fused, headers=odd))[0] == [odd] * 3


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("step", [same, *WAYS], ids=lambda step: step.name)
@in_virtual_time
async def test_with_audit_all_every_stage_is_in_the_history(
    step: Agent[Any, Any], *, fused: bool
) -> None:
    steps = [(step, dead_letter()), (same, dead_letter())]
    outputs, _, _ = await run(*steps, audit="all", fused=fused)
    for headers in outputs:
        entries = [(one.stage_id, one.attempts, one.outcome) for one in trail_in(headers).history]
        assert entries == [("s0", 1, "processed"), ("s1", 1, "processed")]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("audit", ["off", "errors", "all"])
@in_virtual_time
async def test_errors_are_kept_and_what_a_failed_attempt_added_is_not(
    audit: str, *, fused: bool
) -> None:
    steps = [(same, dead_letter()), (flaky, RETRY), (same, dead_letter())]
    outputs, _, _ = await run(*steps, audit=audit, fused=fused)
    for headers in outputs:
        trail = trail_in(headers)
        assert trail.metadata == {"by": ["s1 2"]}
        told = [(one.error, one.stage_id) for one in trail.errors]
        assert told == ([] if audit == "off" else [("OSError: busy", "s1")])
        entries = [(one.stage_id, one.attempts) for one in trail.history]
        expected = {"off": [], "errors": [("s1", 2)], "all": [("s0", 1), ("s1", 2), ("s2", 1)]}
        assert entries == expected[audit]


@in_virtual_time
async def test_the_history_has_the_time_of_the_first_attempt_and_the_waits() -> None:
    await asyncio.sleep(1000)  # so that no instant is near zero
    outputs, _, _ = await run((flaky, RETRY), audit="errors", fused=False)
    [entry] = trail_in(outputs[0]).history
    assert entry.duration_seconds == pytest.approx(1, abs=0.1)
    assert (trail_in(outputs[0]).errors[0].timestamp - entry.start).total_seconds() < 0.1


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("audit", ["off", "errors", "all"])
@in_virtual_time
async def test_a_dead_letter_always_has_the_history(audit: str, *, fused: bool) -> None:
    outputs, letters, _ = await run(
        (plain, dead_letter()), (failing, retry(1)), audit=audit, fused=fused
    )
    assert (outputs, len(letters)) == ([], 3)
    trail = trail_in(letters[0])
    assert trail.metadata == {"by": ["s0 1"]}
    last = trail.history[-1]
    assert (last.stage_id, last.outcome, last.attempts) == ("s1", "dead_lettered", 2)
    assert [one.error for one in trail.errors] == ["ValueError: no"] * (1 if audit == "off" else 2)
    assert letters[0][: len(TRACE)] == TRACE


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("step", WAYS, ids=lambda step: step.name)
@in_virtual_time
async def test_a_header_that_cannot_be_read_is_counted_and_replaced(
    step: Agent[Any, Any], *, fused: bool
) -> None:
    bad = [*TRACE, (CONTEXT_HEADER, b"{")]
    steps = [(same, dead_letter()), (step, dead_letter())]
    outputs, letters, unreadable = await run(*steps, audit="errors", fused=fused, headers=bad)
    assert (len(outputs), letters, unreadable) == (3, [], [0, 3])
    assert trail_in(outputs[0]).metadata == {"by": ["s1 1"]}


@in_virtual_time
async def test_metadata_that_do_not_fit_are_the_fault_of_the_record() -> None:
    @agent
    def hoarding(value: bytes, context: Context) -> bytes:
        context.metadata["all"] = "x" * 5000
        return value

    outputs, letters, _ = await run((hoarding, RETRY), audit="errors", fused=False)
    assert (outputs, len(letters)) == ([], 3)
    assert dict(letters[0])["streamapp.error.class"] == b"EncodeError"
    assert dict(letters[0])["streamapp.error.attempts"] == b"1"


@pytest.mark.parametrize("policy", [retry(1, then=skip()), retry(1, then=drop())])
@in_virtual_time
async def test_what_only_the_audit_adds_never_makes_an_output_too_large(policy: Policy) -> None:
    """The topic takes the record, but not with the errors of its attempts."""
    broker = await broker_with("in", "p.s.dlq")
    await broker.admin().create_topics([TopicSpec("out", 1, config={"max.message.bytes": "300"})])
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(failing, name="s", on_error=policy)
    await broker.write("in", (b"k", b"x" * 150))
    await service(broker, build(pipeline.sink("out"))).run(until_end=True)
    assert broker.records("p.s.dlq") == []
    assert broker.values("out") == ([b"x" * 150] if policy.then == "skip" else [])


@in_virtual_time
async def test_a_dead_letter_that_would_be_too_large_goes_without_its_trail() -> None:
    broker = await broker_with("in", "out")
    small = TopicSpec("p.s.dlq", 1, config={"max.message.bytes": "450"})
    await broker.admin().create_topics([small])
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(failing, name="s", on_error=RETRY)
    await broker.write("in", (b"k", b"1"))
    await service(broker, build(pipeline.sink("out"))).run(until_end=True)
    [letter] = broker.records("p.s.dlq")
    assert CONTEXT_HEADER not in dict(letter.headers)
    assert dict(letter.headers)["streamapp.error.attempts"] == b"4"


@pytest.mark.parametrize(("fused", "read"), [(False, "p.s0"), (True, "in")])
@in_virtual_time
async def test_what_leaves_with_a_trail_names_the_record_of_which_it_was_made(
    *, fused: bool, read: str
) -> None:
    outputs, _, _ = await run((same, dead_letter()), (plain, RETRY), audit="all", fused=fused)
    assert [trail_in(headers).origin for headers in outputs] == [f"{read}:0:{n}" for n in range(3)]
