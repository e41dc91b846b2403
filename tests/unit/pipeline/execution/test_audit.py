"""The context of an execution: metadata, history and errors, seen by agents and in the result."""

from typing import Any

import pytest

from streamapp.errors import EncodeError, PipelineError
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context, PipelineContext
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.trail import ErrorType, trail_from
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, retry, skip
from streamapp.record import CONTEXT_HEADER, Headers
from streamapp.topics.topic import Topic
from streamapp.version import VERSION
from tests.unit.pipeline.execution.agents import Item, executor, failing, tagging
from tests.unit.runtime.virtual import in_virtual_time

SEEN: list[Any] = []


@agent
def looking(item: Item, context: Context) -> Item:
    """Note what is seen of the trail."""
    SEEN.append(
        (
            dict(context.metadata),
            [entry.stage_id for entry in context.stage_history],
            [entry.error for entry in context.error_log],
        )
    )
    return item


@agent
def adding(item: Item, context: Context) -> Item:
    """Add to the metadata."""
    context.metadata[context.stage_id] = context.attempt
    return item


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


def pipeline(audit: str = "errors") -> Pipeline[Item, Item]:
    return Pipeline("p", source=Topic("in", Item), audit=audit)


def context_header(headers: Headers) -> bytes | None:
    return dict(headers).get(CONTEXT_HEADER)


@pytest.mark.parametrize("fused", [False, True])
async def test_metadata_travel_from_the_caller_through_the_stages_to_the_result(
    *, fused: bool
) -> None:
    made = pipeline().stage(adding).stage(tagging("t"), fused=fused).stage(looking, fused=fused)
    context = PipelineContext(metadata={"tenant": "a"})
    result = await made.execute(Item(), context)
    assert SEEN == [({"tenant": "a", "adding": 1}, [], [])]
    assert result.context is context
    assert context.metadata == {"tenant": "a", "adding": 1}
    assert (context.pipeline_id, context.status) == ("p", "success")


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("audit", "history"), [("off", []), ("errors", []), ("all", ["t", "u"])])
async def test_agents_see_the_history_that_the_audit_keeps(
    audit: str, history: list[str], *, fused: bool
) -> None:
    made = pipeline(audit).stage(tagging("t")).stage(tagging("u"), fused=fused)
    result = await made.stage(looking, fused=fused).execute(Item())
    assert [({}, history, [])] == SEEN
    assert [entry.stage_id for entry in result.context.stage_history] == ["t", "u", "looking"]


@pytest.mark.parametrize(
    ("audit", "history", "errors"),
    [("off", [], []), ("errors", ["a"], ["OSError: busy"]), ("all", ["a"], ["OSError: busy"])],
)
@in_virtual_time
async def test_a_stage_that_failed_and_then_succeeded_is_in_the_trail(
    audit: str, history: list[str], errors: list[str]
) -> None:
    made = pipeline(audit).stage(failing("a", OSError("busy"), times=1)).stage(looking)
    async with executor(made) as open_executor:
        result = await open_executor.execute(Item())
    assert [({}, history, errors)] == SEEN
    [told] = result.context.error_log
    assert (told.stage_id, told.error_type) == ("a", ErrorType.DEPENDENCY)


@in_virtual_time
async def test_the_history_says_what_a_stage_did_and_when() -> None:
    policy = retry(2, backoff=Backoff(base_seconds=10))
    made = pipeline().stage(failing("a", OSError("busy"), times=1), on_error=policy)
    async with executor(made) as open_executor:
        result = await open_executor.execute(Item())
    [entry] = result.context.stage_history
    assert (entry.stage_id, entry.agent, entry.version) == ("a", "a", VERSION)
    assert (entry.attempts, entry.outcome) == (2, "processed")
    assert entry.duration_seconds == pytest.approx(10)
    assert abs((entry.start - result.context.execution_start).total_seconds()) < 0.01


@pytest.mark.parametrize("audit", ["off", "errors", "all"])
async def test_a_dead_letter_always_has_the_history(audit: str) -> None:
    made = (
        pipeline(audit).stage(adding).stage(failing("b", ValueError("no")), on_error=dead_letter())
    )
    result = await made.execute(Item(), headers=[("traceparent", b"00-1-2-01")])
    [letter] = result.dead_letters
    assert letter.headers[0] == ("traceparent", b"00-1-2-01")
    trail = trail_from(context_header(letter.headers) or b"")
    assert trail is not None
    assert trail.metadata == {"adding": 1}
    assert (trail.history[-1].stage_id, trail.history[-1].outcome) == ("b", "dead_lettered")
    assert [entry.error for entry in trail.errors] == ["ValueError: no"]
    assert len(trail.history) == (2 if audit == "all" else 1)


async def test_what_a_failed_attempt_added_is_forgotten() -> None:
    @agent
    def spoiling(item: Item, context: Context) -> Item:
        context.metadata[f"attempt {context.attempt}"] = True
        if context.attempt < 3:
            raise OSError("busy")
        return item

    policy = retry(3, backoff=Backoff(base_seconds=0))
    result = await pipeline().stage(spoiling, on_error=policy).stage(looking).execute(Item())
    assert SEEN == [({"attempt 3": True}, ["spoiling"], ["OSError: busy"] * 2)]
    assert result.context.metadata == {"attempt 3": True}


async def test_what_is_skipped_keeps_the_metadata_that_it_had() -> None:
    @agent
    def spoiling(item: Item, context: Context) -> Item:
        context.metadata["spoiled"] = item.n
        raise ValueError("no")

    made = pipeline().stage(adding).stage(spoiling, on_error=skip()).stage(looking)
    await made.execute(Item())
    assert SEEN == [({"adding": 1}, ["spoiling"], ["ValueError: no"])]


async def test_an_output_with_headers_of_its_own_keeps_the_trail() -> None:
    @agent
    def renaming(item: Item) -> Out[Item]:
        return Out(item, headers=[("own", b"1")])

    result = await pipeline().stage(adding).stage(renaming).stage(looking).execute(Item())
    assert SEEN == [({"adding": 1}, [], [])]
    assert result.sinks[0].headers[0] == ("own", b"1")


async def test_trace_headers_pass_untouched_and_nothing_is_added_where_nobody_asks() -> None:
    trace = [("traceparent", b"00-aa-bb-01"), ("tracestate", b"v=1")]
    made = pipeline().stage(tagging("a")).stage(tagging("b"))
    assert (await made.execute(Item(), headers=trace)).sinks[0].headers == trace


async def test_metadata_that_do_not_fit_are_the_fault_of_the_record() -> None:
    @agent
    def hoarding(item: Item, context: Context) -> Item:
        context.metadata["all"] = "x" * 5000
        return item

    [letter] = (await pipeline().stage(hoarding).execute(Item())).dead_letters
    assert letter.reason is DeadLetterReason.OUTPUT
    assert "the metadata of the context take" in str(letter.error)
    with pytest.raises(EncodeError, match="the metadata of the context take"):
        await pipeline().stage(adding).execute(Item(), Context(metadata={"all": "x" * 5000}))


async def test_a_header_that_cannot_be_read_is_ignored() -> None:
    await pipeline().stage(looking).execute(Item(), headers=[(CONTEXT_HEADER, b"{")])
    assert SEEN == [({}, [], [])]


async def test_what_is_no_context_is_refused() -> None:
    with pytest.raises(
        PipelineError, match=r"context of type dict; give PipelineContext\(metadata"
    ):
        await pipeline().stage(adding).execute(Item(), {"a": 1})  # type: ignore[arg-type]  # the mistake under test


def test_what_is_no_audit_is_refused() -> None:
    with pytest.raises(PipelineError, match="audit is 'some'; give one of 'off', 'errors', 'all'"):
        pipeline("some")


async def test_agents_see_the_record_that_a_topic_would_hold() -> None:
    seen: list[Any] = []

    @agent
    def asking(item: Item, context: Context) -> Item:
        record = context.record
        seen.append((context.topic, context.partition, record.key, record.value, context.headers))
        return item

    made = pipeline().stage(tagging("a")).stage(asking).stage(asking, name="b", fused=True)
    await made.execute(Item(n=1), key="k", headers=[("h", b"1")])
    value = b'{"n":1,"tags":["a"]}'
    assert seen == [("p.a", 0, b"k", value, {"h": b"1"})] * 2
