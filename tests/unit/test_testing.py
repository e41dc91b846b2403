import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from streamapp import (
    ConfigurationError,
    Context,
    Out,
    Permanent,
    Pipeline,
    PipelineError,
    Policy,
    StageError,
    StageStoppedError,
    Topic,
    agent,
    dead_letter,
    retry,
    retry_later,
    skip,
    stop,
)
from streamapp.errors import EncodeError
from streamapp.testing import (
    FixedClock,
    Input,
    Output,
    PipelineDriver,
    UnfinishedError,
)


class Item(BaseModel):
    n: int


class Double(BaseModel):
    n: int


@agent
def double(item: Item) -> Double:
    if item.n < 0:
        raise Permanent(f"{item.n} is negative")
    return Double(n=2 * item.n)


@agent
def by_size(item: Double) -> list[Out[Double]]:
    return [Out(item, key="big", to="big")] if item.n > 100 else [Out(item)]


BIG = Topic("big", Double)
ONE_STAGE = (
    Pipeline("p", source=Topic("in", Item)).stage(double, on_error=dead_letter()).sink("out")
)
TWO_STAGES = (
    Pipeline("p", source=Topic("in", Item))
    .stage(double, on_error=dead_letter())
    .stage(by_size, routes={"big": BIG}, name="by-size")
    .sink("out")
)


def test_outputs_are_values_of_the_last_stage_in_their_order() -> None:
    results = PipelineDriver(TWO_STAGES).run([Item(n=n) for n in range(20)])
    assert results.outputs == [Double(n=2 * n) for n in range(20)]
    assert results.metrics("double").processed == 20


def test_a_route_and_a_topic_between_stages_can_be_read() -> None:
    results = PipelineDriver(TWO_STAGES).run([Item(n=1), Item(n=100)])
    assert [output.value for output in results.records(BIG)] == [Double(n=200)]
    assert [output.key for output in results.records("big")] == [b"big"]
    assert [output.value.n for output in results.records("p.double")] == [2, 200]


def test_an_output_has_key_headers_timestamp_and_place() -> None:
    at = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
    item = Input(Item(n=1), key="a", headers=[("h", b"1")], timestamp=at)
    results = PipelineDriver(ONE_STAGE).run([item])
    assert results.records() == [Output(Double(n=2), b"a", {"h": b"1"}, at, "out", 0, 0)]


def test_a_dead_letter_says_stage_reason_error_and_original() -> None:
    results = PipelineDriver(ONE_STAGE).run([b"not JSON", Input(Item(n=-1), key="a"), Item(n=1)])
    decode, permanent = results.dead_letters("double")
    assert (decode.reason, decode.value) == ("decode", b"not JSON")
    assert (permanent.reason, permanent.error, permanent.message) == (
        "permanent",
        "Permanent",
        "-1 is negative",
    )
    assert (permanent.key, permanent.value, permanent.attempts) == (b"a", b'{"n":-1}', 1)
    assert permanent.headers["streamapp.error.stage"] == b"double"
    assert results.outputs == [Double(n=2)]
    assert repr(results) == (
        "<PipelineResults of p: 1 output, 2 dead letters (double: decode, double: permanent)>"
    )


@agent
def read_partition(_: Item, context: Context) -> int:
    return context.partition


READ_PARTITION = Pipeline("p", source=Topic("in", Item)).stage(read_partition).sink("out")


def test_records_of_a_key_are_read_from_one_partition() -> None:
    inputs = [Input(Item(n=n), key=f"key {n % 5}") for n in range(40)]
    results = PipelineDriver(READ_PARTITION, partitions=4).run(inputs)
    partitions: dict[bytes | None, set[int]] = {}
    for output in results.records():
        partitions.setdefault(output.key, set()).add(output.value)
    assert len(partitions) == 5
    assert all(len(of_key) == 1 for of_key in partitions.values())


def test_records_without_a_key_take_the_partitions_in_turn() -> None:
    results = PipelineDriver(READ_PARTITION, partitions=2).run([Item(n=n) for n in range(4)])
    assert sorted(results.outputs) == [0, 0, 1, 1]


def test_retries_do_not_wait() -> None:
    attempts: list[int] = []

    @agent
    async def flaky(item: Item, context: Context) -> Double:
        attempts.append(context.attempt)
        if context.attempt < 60:
            raise OSError("busy")
        return Double(n=item.n)

    # With the waits of the default backoff, 59 retries would take a quarter of an hour.
    pipeline = Pipeline("p", source=Topic("in", Item)).stage(flaky, on_error=retry(59)).sink("out")
    assert PipelineDriver(pipeline).run([Item(n=1)]).outputs == [Double(n=1)]
    assert attempts == list(range(1, 61))


def test_the_clock_stamps_records_that_have_no_timestamp() -> None:
    clock = FixedClock(datetime(2001, 2, 3, tzinfo=UTC))
    [output] = PipelineDriver(ONE_STAGE, clock=clock).run([Item(n=1)]).records()
    assert output.timestamp == datetime(2001, 2, 3, tzinfo=UTC)


def test_a_pipeline_without_outputs_has_none() -> None:
    seen: list[int] = []

    @agent
    def swallow(item: Item) -> None:
        seen.append(item.n)

    pipeline: Pipeline[Item, None] = Pipeline("p", source=Topic("in", Item)).stage(swallow)
    results = PipelineDriver(pipeline).run([Item(n=1)])
    assert (results.outputs, seen) == ([], [1])
    with pytest.raises(ConfigurationError, match="its output topics are: none"):
        results.records("out")


def test_a_fused_stage_has_its_own_dead_letters() -> None:
    @agent
    def refuse(item: Double) -> Double:
        raise Permanent(f"not {item.n}")

    pipeline = (
        Pipeline("p", source=Topic("in", Item))
        .stage(double)
        .stage(refuse, fused=True, on_error=dead_letter())
        .sink("out")
    )
    results = PipelineDriver(pipeline).run([Item(n=1)])
    assert results.dead_letters("double") == []
    assert [letter.value for letter in results.dead_letters("refuse")] == [b'{"n":2}']


def test_the_policy_stop_raises_the_error_of_the_stage() -> None:
    pipeline = Pipeline("p", source=Topic("in", Item)).stage(double, on_error=stop()).sink("out")
    with pytest.raises(StageStoppedError, match=r"stage 'double'.*-1 is negative") as raised:
        PipelineDriver(pipeline).run([Item(n=1), Item(n=-1)])
    assert (raised.value.stage_id, raised.value.offset) == ("double", 1)


async def test_what_was_written_before_a_stop_can_be_read() -> None:
    pipeline = Pipeline("p", source=Topic("in", Item)).stage(double, on_error=stop()).sink("out")
    async with PipelineDriver(pipeline).start() as running:
        await running.send_all([Item(n=1), Item(n=-1)])
        with pytest.raises(StageStoppedError):
            await running.results()
        results = await running.results()
    assert results.outputs == [Double(n=2)]


async def test_an_error_that_nobody_asked_for_is_raised_at_the_end() -> None:
    class Broken:
        async def open(self) -> None:
            raise OSError("no such host")

        async def close(self) -> None: ...

        async def __call__(self, item: Item) -> Item:
            return item

    pipeline = Pipeline("p", source=Topic("in", Item)).stage(agent(name="b")(Broken())).sink("out")
    with pytest.raises(StageError, match="could not be opened: OSError: no such host"):
        async with PipelineDriver(pipeline).start() as running:
            await asyncio.wait([running._task])


async def test_records_can_be_sent_and_read_in_turns() -> None:
    async with PipelineDriver(ONE_STAGE).start() as running:
        await running.send(Item(n=1), key="a", headers=[("h", b"1")])
        first = await running.results()
        await running.send(b'{"n": 2}')
        second = await running.results()
    assert [(output.value.n, output.key) for output in first.records()] == [(2, b"a")]
    assert [output.n for output in second.outputs] == [2, 4]


def test_a_pipeline_that_does_not_finish_says_what_is_left() -> None:
    @agent
    async def wait_for_ever(item: Double) -> Double:
        await asyncio.Event().wait()
        return item

    pipeline = (
        Pipeline("p", source=Topic("in", Item))
        .stage(double, on_error=dead_letter())
        .stage(wait_for_ever, name="waiting")
        .sink("out")
    )
    with pytest.raises(UnfinishedError) as raised:
        PipelineDriver(pipeline, timeout_seconds=0.5).run([Item(n=1), Item(n=-1), Item(n=2)])
    assert str(raised.value) == (
        "pipeline 'p' did not finish within 0.5 s: stage 'waiting' has not finished 2 records of"
        " 'p.double' (2 in flight, 0 retries so far). Outputs so far: []."
        " Dead letters so far: ['double: Permanent: -1 is negative']."
    )
    assert len(raised.value.results.dead_letters("double")) == 1


def test_an_error_of_the_test_is_not_hidden_by_one_of_the_pipeline() -> None:
    async def run() -> None:
        async with PipelineDriver(ONE_STAGE).start():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())


def test_a_wrong_pipeline_is_refused_with_its_own_error() -> None:
    wrong = Pipeline("p", source=Topic("in", Item)).stage(double, on_error=skip()).sink("out")
    with pytest.raises(PipelineError, match="the policy skip"):
        PipelineDriver(wrong).run([])
    with pytest.raises(PipelineError, match="given a value of type Topic; give it a Pipeline"):
        PipelineDriver(BIG)  # type: ignore[arg-type]  # the mistake under test


def test_an_input_of_another_type_is_refused() -> None:
    with pytest.raises(EncodeError, match="topic 'in' takes Item, but an input is of type Double"):
        PipelineDriver(ONE_STAGE).run([Double(n=1)])  # type: ignore[list-item]  # the mistake under test


def test_an_unknown_stage_or_topic_is_named_with_those_that_exist() -> None:
    results = PipelineDriver(TWO_STAGES).run([])
    with pytest.raises(
        ConfigurationError, match="no stage 'doubel'; its stages are: double, by-size"
    ):
        results.dead_letters("doubel")
    with pytest.raises(ConfigurationError, match="no stage 'x'"):
        results.metrics("x")
    with pytest.raises(
        ConfigurationError, match=r"'nope'; its output topics are: p\.double, out, big"
    ):
        results.records("nope")


async def test_inside_an_event_loop_the_error_names_the_other_function() -> None:
    with pytest.raises(ConfigurationError, match="use `async with driver"):
        PipelineDriver(ONE_STAGE).run([])


@agent
def doubled(item: Item | None) -> Out[Double | None]:
    return Out(None if item is None else double(item))


@pytest.mark.parametrize(
    "sink", ["out", Topic("out", Double), Topic("out", Double | None)], ids=repr
)
def test_tombstones_are_written_and_shown(sink: Any) -> None:
    pipeline = Pipeline("p", source=Topic("in", Item)).stage(doubled).sink(sink)
    results = PipelineDriver(pipeline).run([Input(Item(n=1), "k"), Input(None, "k"), Input(None)])
    assert results.outputs == [Double(n=2), None]
    assert [output.key for output in results.records()] == [b"k", b"k"]
    [letter] = results.dead_letters("doubled")
    assert (letter.reason, letter.key, letter.value) == ("output", None, None)


async def test_a_tombstone_is_sent_step_by_step() -> None:
    pipeline = Pipeline("p", source=Topic("in", Item)).stage(doubled).sink("out")
    async with PipelineDriver(pipeline).start() as running:
        await running.send(None, key="k")
        assert (await running.results()).outputs == [None]


@pytest.mark.parametrize("policy", [dead_letter(), retry(1), None], ids=["letter", "retry", "none"])
def test_one_record_that_fails_through_the_world_is_a_dead_letter(policy: Policy | None) -> None:
    @agent(name="down")
    def down(_value: bytes) -> bytes:
        raise OSError

    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(down, on_error=policy).sink("out")
    assert len(PipelineDriver(pipeline).run([b"1"]).dead_letters()) == 1


def test_records_that_are_held_are_said_to_be_and_how_that_is_turned_off() -> None:
    @agent(name="down")
    def down(_value: bytes) -> bytes:
        raise OSError

    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(down).sink("out")
    inputs: list[Input[bytes]] = [Input(b"1", key=f"k{n}") for n in range(10)]
    with pytest.raises(UnfinishedError, match="now with OSError; breaker=None"):
        PipelineDriver(pipeline, timeout_seconds=0.5).run(inputs)


def test_what_is_retried_later_is_finished_without_a_wait() -> None:
    @agent
    async def later(item: Item, context: Context) -> Item:
        await asyncio.sleep(0.1 if context.attempt > 1 else 0)
        if context.attempt < 3 or item.n == 2:
            raise ValueError("not yet")
        return item

    policy = retry_later([600, 86_400])
    pipeline = Pipeline("p", source=Topic("in", Item)).stage(later, on_error=policy).sink("out")
    results = PipelineDriver(pipeline).run([Item(n=1), Item(n=2)])
    assert results.outputs == [Item(n=1)]
    [letter] = results.dead_letters("later")
    assert (letter.reason, letter.attempts) == ("exhausted", 3)
