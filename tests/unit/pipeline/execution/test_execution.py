"""A pipeline in process: what becomes of one value, and what the result says of it."""

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.errors import (
    DecodeError,
    EncodeError,
    Permanent,
    PipelineError,
    StageError,
    TooManyOutputsError,
)
from streamapp.observability.stage_metrics import DeadLetterReason, Outcome
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, drop, retry, skip, stop
from streamapp.status import PipelineStatus
from streamapp.topics.topic import Topic
from tests.unit.pipeline.execution.agents import Item, executor, failing, pipeline, tagging
from tests.unit.runtime.virtual import in_virtual_time, loop


async def test_a_value_passes_all_stages_in_their_order() -> None:
    result = await pipeline(tagging("a"), tagging("b")).execute(Item(n=1))
    assert (result.status, result.error) == (PipelineStatus.SUCCESS, None)
    assert result.output == Item(n=1, tags=["a", "b"])
    assert result.outputs == [result.output]
    assert [(s.stage_id, s.status, s.attempts) for s in result.stages] == [
        ("a", "success", 1),
        ("b", "success", 1),
    ]
    assert result.stage("a").output == Item(n=1, tags=["a"])
    assert result.stage("b").outcomes == {Outcome.PROCESSED: 1}
    assert result.dead_letters == []


async def test_the_value_of_the_caller_is_not_changed() -> None:
    given = Item()
    await pipeline(tagging("a")).execute(given)
    assert given == Item()


async def test_fused_stages_give_the_same() -> None:
    fused = pipeline(tagging("a")).stage(tagging("b"), fused=True).stage(tagging("c"), fused=True)
    result = await fused.execute(Item())
    assert result.output == Item(tags=["a", "b", "c"])
    assert [stage.output.tags for stage in result.stages] == [["a"], ["a", "b"], ["a", "b", "c"]]


async def test_a_filtered_value_ends_without_an_output() -> None:
    @agent
    def filtered(item: Item) -> Item | None:
        return None if item.n else item

    result = await pipeline(filtered, tagging("b")).execute(Item(n=1))
    assert (result.status, result.output, result.outputs) == ("success", None, [])
    assert result.stage("filtered").outcomes == {Outcome.FILTERED: 1}
    assert [stage.status for stage in result.stages] == ["success", "pending"]


async def test_each_value_of_a_fan_out_goes_its_own_way() -> None:
    @agent
    def split(item: Item) -> Iterator[Item]:
        for n in range(item.n):
            yield Item(n=n)

    @agent
    def odd(item: Item) -> Item:
        if item.n == 1:
            raise ValueError("one")
        return item

    made = pipeline(split).stage(odd, on_error=dead_letter()).stage(tagging("c"))
    result = await made.execute(Item(n=4))
    assert [output.n for output in result.outputs] == [0, 2, 3]
    assert result.status is PipelineStatus.FAILED
    assert result.stage("odd").outcomes == {Outcome.PROCESSED: 3, Outcome.DEAD_LETTERED: 1}
    assert [stage.status for stage in result.stages] == ["success", "failed", "success"]
    [letter] = result.dead_letters
    assert (letter.value, letter.stage_id, letter.topic) == (
        b'{"n":1,"tags":[]}',
        "odd",
        "p.odd.dlq",
    )
    with pytest.raises(ValueError, match="the pipeline gave 3 outputs; `outputs` has all of them"):
        _ = result.output
    with pytest.raises(ValueError, match="stage 'split' gave 4 outputs"):
        _ = result.stage("split").output


@pytest.mark.parametrize("fused", [False, True])
async def test_values_of_a_fan_out_keep_their_order(*, fused: bool) -> None:
    @agent
    def split(item: Item) -> list[Item]:
        return [Item(n=10 * item.n + i) for i in (1, 2)]

    made = pipeline(split).stage(split, name="b", fused=fused).stage(split, name="c", fused=fused)
    outputs = (await made.execute(Item())).outputs
    assert [output.n for output in outputs] == [111, 112, 121, 122, 211, 212, 221, 222]


async def test_outputs_have_key_headers_and_topic_and_go_to_routes() -> None:
    @agent
    def routed(item: Item) -> list[Out[Item]]:
        return [
            Out(item, to="late"),
            Out(item, key="k2", headers=[("h", b"2")]),
            Out(Item(n=7), key=None),
        ]

    made = pipeline().stage(routed, routes={"late": Topic("late.items", Item)}).sink("out")
    result = await made.execute(Item(), key="k", headers=[("h", b"1")])
    assert [(o.key, o.headers, o.topic, o.route) for o in result.sinks] == [
        (b"k2", [("h", b"2")], "out", None),
        (None, [("h", b"1")], "out", None),
    ]
    [late] = result.routes["late"]
    assert (late.key, late.topic, late.route, late.value) == (b"k", "late.items", "late", Item())
    assert len(result.stage("routed").emitted) == 3


async def test_a_stage_between_needs_no_sink_and_no_broker() -> None:
    result = await pipeline(tagging("a"), tagging("b")).execute(Item())
    assert [output.topic for output in result.sinks] == [None]
    assert [output.topic for output in result.stage("a").emitted] == ["p.a"]


async def test_an_empty_pipeline_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"pipeline 'p' has no stage; add one with .stage"):
        await pipeline().execute(Item())


async def test_bytes_are_what_a_topic_would_hold() -> None:
    assert (await pipeline(tagging("a")).execute(b'{"n": 5}')).output == Item(n=5, tags=["a"])
    result = await pipeline(tagging("a"), on_error=retry(3, then=skip())).execute(b"{")
    assert result.status is PipelineStatus.FAILED
    [letter] = result.dead_letters
    assert (letter.reason, letter.value, letter.attempts) == (DeadLetterReason.DECODE, b"{", 1)
    assert isinstance(letter.error.original_error, DecodeError)


async def test_data_of_another_type_fail_in_the_first_stage() -> None:
    result = await pipeline(tagging("a"), tagging("b")).execute({"n": 1})
    assert result.status is PipelineStatus.FAILED
    assert result.error is not None
    assert str(result.error.original_error) == "the pipeline takes Item, not a dict"
    assert isinstance(result.error.original_error, EncodeError)
    assert [stage.status for stage in result.stages] == ["failed", "pending"]
    spoiled = Item.model_construct(n="text")  # type: ignore[arg-type]  # what a user may get wrong
    assert "n: expected int" in str((await pipeline(tagging("a")).execute(spoiled)).error)


@in_virtual_time
async def test_retries_wait_on_the_clock_and_get_the_value_unchanged() -> None:
    made = pipeline(
        failing("a", OSError("busy"), times=2), on_error=retry(3, backoff=Backoff(base_seconds=10))
    )
    async with executor(made) as open_executor:
        result = await open_executor.execute(Item())
    assert result.output == Item(tags=["a"])
    assert result.stage("a").attempts == 3
    assert result.stage("a").execution_time == pytest.approx(30)
    assert result.duration == pytest.approx(30)
    assert loop().time() == pytest.approx(30)
    assert result.stage("a").error is None


@in_virtual_time
async def test_exhausted_retries_make_the_execution_fail() -> None:
    cause = OSError("busy")
    made = pipeline(tagging("a")).stage(failing("b", cause)).stage(tagging("c"))
    async with executor(made) as open_executor:
        result = await open_executor.execute(Item(), key="k", headers=[("h", b"1")])
    assert (result.status, result.output) == (PipelineStatus.FAILED, None)
    assert [stage.status for stage in result.stages] == ["success", "failed", "pending"]
    error = result.error
    assert error is result.stage("b").error
    assert isinstance(error, StageError)
    assert (error.stage_id, error.original_error, error.__cause__) == ("b", cause, cause)
    assert str(error) == "stage 'b' of pipeline 'p' failed after 4 attempts: OSError: busy"
    [letter] = result.dead_letters
    assert (letter.reason, letter.attempts, letter.error) == ("exhausted", 4, error)
    assert (letter.key, letter.value) == (b"k", b'{"n":0,"tags":["a"]}')
    assert letter.headers[0] == ("h", b"1")


async def test_the_fault_of_the_record_is_not_retried() -> None:
    result = await pipeline(failing("a", Permanent("never"))).execute(Item())
    [letter] = result.dead_letters
    assert (letter.reason, letter.attempts) == ("permanent", 1)


async def test_stop_ends_the_execution_at_once() -> None:
    made = pipeline(tagging("a")).stage(failing("b", ValueError("no")), on_error=stop())
    result = await made.stage(tagging("c")).execute(Item())
    assert (result.status, result.outputs, result.dead_letters) == ("failed", [], [])
    assert [stage.status for stage in result.stages] == ["success", "failed", "pending"]
    assert result.error is not None
    assert result.error.stage_id == "b"


async def test_skip_passes_the_value_on_unchanged() -> None:
    made = pipeline(failing("a", ValueError("no")), on_error=skip()).stage(tagging("b"))
    result = await made.execute(Item(n=2))
    assert (result.status, result.output) == ("success", Item(n=2, tags=["b"]))
    skipped = result.stage("a")
    assert (skipped.status, skipped.outcomes) == ("success", {Outcome.SKIPPED: 1})
    assert skipped.output == Item(n=2)
    assert skipped.error is not None
    assert result.error is None


async def test_drop_leaves_only_a_count() -> None:
    made = pipeline(failing("a", ValueError("no")), on_error=drop()).stage(tagging("b"))
    result = await made.execute(Item())
    assert (result.status, result.outputs, result.dead_letters) == ("success", [], [])
    assert result.stage("a").outcomes == {Outcome.DROPPED: 1}
    assert [stage.status for stage in result.stages] == ["success", "pending"]


@in_virtual_time
async def test_an_attempt_that_takes_too_long_is_cancelled() -> None:
    @agent
    async def slow(item: Item) -> Item:
        await asyncio.sleep(100)
        return item

    made = pipeline(slow, timeout_seconds=5, on_error=dead_letter())
    async with executor(made) as open_executor:
        result = await open_executor.execute(Item())
    assert loop().time() == pytest.approx(5)
    [letter] = result.dead_letters
    assert (letter.reason, str(letter.error.original_error)) == (
        "timeout",
        "the attempt took longer than 5 s",
    )


async def test_a_timeout_of_the_agents_own_stays_what_it_is() -> None:
    @agent
    async def own(item: Item) -> Item:  # noqa: ARG001 - an agent takes a value
        raise TimeoutError("of mine")

    result = await pipeline(own, on_error=dead_letter()).execute(Item())
    assert str(result.dead_letters[0].error.original_error) == "of mine"


@in_virtual_time
async def test_cancellation_ends_as_cancelled_and_is_raised() -> None:
    @agent
    async def slow(item: Item) -> Item:
        await asyncio.sleep(100)
        return item

    context = Context()
    statuses = [context.status]
    made = pipeline(tagging("a")).stage(slow)
    async with executor(made) as open_executor:
        task = asyncio.create_task(open_executor.execute(Item(), context))
        await asyncio.sleep(1)
        statuses.append(context.status)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [*statuses, context.status] == ["pending", "running", "cancelled"]
    assert loop().time() == pytest.approx(1)


@in_virtual_time
async def test_cancellation_during_the_wait_for_a_retry_is_raised() -> None:
    async with executor(pipeline(failing("a", OSError("busy")))) as open_executor:
        task = asyncio.create_task(open_executor.execute(Item(), context := Context()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert context.status is PipelineStatus.CANCELLED


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_agent_that_cancels_itself_has_failed(*, is_async: bool) -> None:
    @agent
    def plain(item: Item) -> Item:  # noqa: ARG001 - the same
        raise asyncio.CancelledError

    @agent
    async def awaited(item: Item) -> Item:  # noqa: ARG001 - the same
        raise asyncio.CancelledError

    made = pipeline(awaited if is_async else plain, name="s", on_error=dead_letter())
    result = await made.execute(Item())
    [letter] = result.dead_letters
    assert str(letter.error.original_error) == "the agent of stage 's' cancelled itself"


async def test_an_exception_that_ends_the_process_is_no_failure_of_the_stage() -> None:
    context = Context()
    with pytest.raises(KeyboardInterrupt):
        await pipeline(failing("a", KeyboardInterrupt())).execute(Item(), context)
    assert context.status is PipelineStatus.FAILED


async def test_a_group_of_errors_is_decided_about_as_its_gravest() -> None:
    group = ExceptionGroup("two", [OSError("busy"), Permanent("never")])
    result = await pipeline(failing("a", group)).execute(Item())
    [letter] = result.dead_letters
    assert (letter.reason, str(letter.error.original_error)) == ("permanent", "never")


async def test_outputs_of_a_failed_attempt_are_forgotten() -> None:
    @agent
    def half(item: Item) -> Iterator[Item]:
        yield item
        raise ValueError("half")

    result = await pipeline(half, on_error=dead_letter()).execute(Item())
    assert (result.outputs, len(result.dead_letters)) == ([], 1)


async def test_an_output_that_cannot_be_written_is_the_fault_of_the_record() -> None:
    @agent
    def wrong(item: Item) -> Item:
        return Item.model_construct(n="text", tags=item.tags)  # type: ignore[arg-type]  # the same

    [letter] = (await pipeline(wrong).execute(Item())).dead_letters
    assert letter.reason is DeadLetterReason.OUTPUT
    [letter] = (await pipeline(wrong, tagging("b")).execute(Item())).dead_letters
    assert letter.reason is DeadLetterReason.OUTPUT


async def test_too_many_outputs_of_one_record_are_refused_fused_stages_together() -> None:
    @agent
    def double(item: Item) -> list[Item]:
        return [item, item]

    made = pipeline(double, max_outputs_per_record=3)
    fused = made.stage(double, name="again", fused=True, max_outputs_per_record=3)
    result = await fused.execute(Item())
    assert len(result.outputs) == 2
    [letter] = result.dead_letters
    assert isinstance(letter.error.original_error, TooManyOutputsError)
    unfused = made.stage(double, name="again", max_outputs_per_record=3)
    assert len((await unfused.execute(Item())).outputs) == 4


async def test_outputs_of_too_many_bytes_are_refused() -> None:
    @agent
    def large(item: Item) -> list[Item]:
        return [Item(tags=["x" * 300_000])] * item.n

    made = pipeline(large, max_in_flight_bytes=1)
    assert len((await made.execute(Item(n=3))).outputs) == 3
    [letter] = (await made.execute(Item(n=4))).dead_letters
    assert "take more than 1048576 bytes" in str(letter.error)


async def test_a_blocking_agent_runs_in_a_thread() -> None:
    @agent(blocking=True)
    def threaded(item: Item) -> Item:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return item

    assert (await pipeline(threaded).execute(Item(n=3))).output == Item(n=3)


NAME: ContextVar[str] = ContextVar("NAME", default="")


async def test_no_attempt_sees_the_variables_that_another_has_set() -> None:
    seen = []

    @agent
    def naming(item: Item) -> Item:
        seen.append(NAME.get())
        NAME.set("set by an agent")
        return item

    NAME.set("of the caller")
    await pipeline(naming).stage(naming, name="again").execute(Item())
    assert seen == ["of the caller", "of the caller"]
    assert NAME.get() == "of the caller"


class Secret(BaseModel):
    n: int = 0

    def __reduce__(self) -> Any:
        raise AssertionError("values are not copied by pickling")


async def test_an_output_is_another_object_than_the_agent_has() -> None:
    kept: list[Secret] = []

    @agent
    def keeping(secret: Secret) -> Secret:
        kept.append(secret)
        return secret

    made = Pipeline("p", source=Topic("in", Secret)).stage(keeping)
    result = await made.execute(Secret(n=1))
    kept[0].n = 2
    assert result.output == Secret(n=1)
