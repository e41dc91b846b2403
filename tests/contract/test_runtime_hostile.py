"""Agents and records that misbehave: the worker goes on, and nothing is lost."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from streamapp.errors import Permanent, StageError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.out import Out
from streamapp.policies.policy import dead_letter, retry
from streamapp.topics.topic import Topic
from tests.contract.harness import Subject
from tests.contract.pipelines import QUICK, Item, Rig, error_headers, eventually, numbers
from tests.kafka import unique_name
from tests.patience import within


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("run"))


async def cancel_itself(*, swallow: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        if not swallow:
            raise


@pytest.mark.parametrize("swallow", [True, False])
async def test_an_agent_that_cancels_itself_ends_no_lane(rig: Rig, *, swallow: bool) -> None:
    @agent
    async def careless(item: Item) -> Item:
        if item.n % 2:
            await cancel_itself(swallow=swallow)
        return item

    pipeline = rig.pipeline().stage(careless, on_error=dead_letter(), concurrency=2)
    pipeline = pipeline.sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(10))
    await rig.run_to_end(pipeline)
    came = await rig.read_numbers(rig.out)
    letters = await rig.read(rig.dead_letters("careless"))
    assert sorted(came) == (list(range(10)) if swallow else list(range(0, 10, 2)))
    assert sorted(numbers(letters)) == ([] if swallow else list(range(1, 10, 2)))


async def test_a_cancel_that_is_left_behind_does_not_hit_the_next_record(rig: Rig) -> None:
    @agent
    async def leaves_one(item: Item) -> Item:
        if item.n == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        return item

    pipeline = rig.pipeline().stage(leaves_one, concurrency=1).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(5), keys=1)
    await rig.run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == list(range(5))


async def test_causes_in_a_circle_and_exits_become_dead_letters(rig: Rig) -> None:
    @agent
    def hostile(item: Item) -> Item:
        if item.n == 0:
            error = ValueError("round and round")
            raise error from error
        if item.n == 1:
            raise SystemExit(3)
        return item

    pipeline = rig.pipeline().stage(hostile, on_error=dead_letter()).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(3))
    await rig.run_to_end(pipeline)
    letters = await rig.read(rig.dead_letters("hostile"))
    assert sorted(error_headers(letter)["class"] for letter in letters) == [
        "RuntimeError",
        "ValueError",
    ]
    assert await rig.read_numbers(rig.out) == [2]


async def test_a_huge_key_is_the_records_fault(rig: Rig) -> None:
    @agent
    def widened(item: Item) -> Out[Item]:
        return Out(item, key="k" * (2_000_000 if item.n == 1 else 1))

    pipeline = rig.pipeline().stage(widened, on_error=retry(3)).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(3), keys=1)
    service = await rig.run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == [0, 2]
    assert service.metrics[0].producer_replacements == 0


async def test_a_fused_input_that_no_topic_could_hold_is_the_fault_of_the_stage_that_gave_it(
    rig: Rig,
) -> None:
    @agent
    def gather(item: Item) -> dict[str, Any]:
        return {"n": item.n, "seen": object()}  # nothing that JSON knows

    @agent
    def refuse(value: dict[str, Any]) -> Item:
        raise Permanent(f"no {len(value)}")

    pipeline = (
        rig.pipeline().stage(gather).stage(refuse, on_error=dead_letter(), fused=True).sink(rig.out)
    )
    await rig.create(pipeline)
    await rig.put_items([7])
    await rig.run_to_end(pipeline)
    assert numbers(await rig.read(rig.dead_letters("gather"))) == [7]
    assert await rig.read(rig.dead_letters("refuse")) == []


async def test_a_long_fused_fan_out_leaves_the_others_their_turns(rig: Rig) -> None:
    turns = 0
    longest = 0

    @agent
    def many(item: Item) -> Iterator[Item]:
        for i in range(400):
            yield Item(n=item.n + i)

    @agent
    def busy(item: Item) -> Item:
        nonlocal turns, longest
        turns += 1
        longest = max(longest, turns)
        sum(range(20_000))
        return item

    async def others() -> None:
        nonlocal turns
        while True:
            turns = 0
            await asyncio.sleep(0)

    pipeline = rig.pipeline().stage(many).stage(busy, fused=True).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items([1])
    ticking = asyncio.create_task(others())
    await rig.run_to_end(pipeline)
    ticking.cancel()
    assert 0 < longest < 400


async def test_outputs_of_a_record_are_bounded_over_all_fused_stages(rig: Rig) -> None:
    @agent
    def ten(item: Item) -> list[Item]:
        return [item] * 10

    pipeline = (
        rig.pipeline()
        .stage(ten, name="first")
        .stage(ten, fused=True, on_error=dead_letter(), max_outputs_per_record=50)
        .sink(rig.out)
    )
    await rig.create(pipeline)
    await rig.put_items([1])
    service = await rig.run_to_end(pipeline)
    assert len(await rig.read(rig.out)) <= 50
    assert service.metrics[1].dead_lettered > 0


class Client:
    def __init__(self, *, open_: str = "", close: str = "") -> None:
        self._open, self._close = open_, close

    async def open(self) -> None:
        await self._do(self._open)

    async def close(self) -> None:
        await self._do(self._close)

    async def __call__(self, item: Item) -> Item:
        return item

    async def _do(self, what: str) -> None:
        if what == "hang":
            await asyncio.Event().wait()
        if what == "raise":
            raise ConnectionError("database down")


HASTY = replace(QUICK, stop_timeout_seconds=1.0)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("raise", "could not be opened: ConnectionError: database down"),
        ("hang", "did not open within 0.1 s"),
    ],
)
async def test_an_agent_that_does_not_open_is_named(rig: Rig, what: str, sentence: str) -> None:
    pipeline = rig.pipeline().stage(agent(name="asks")(Client(open_=what))).sink(rig.out)
    await rig.create(pipeline)
    with pytest.raises(StageError, match=f"stage 'asks' {sentence}"):
        await rig.run_to_end(pipeline, config=replace(HASTY, open_timeout_seconds=0.1))


@pytest.mark.parametrize("what", ["raise", "hang"])
async def test_an_agent_that_does_not_close_well_does_not_hold_the_end(rig: Rig, what: str) -> None:
    pipeline = rig.pipeline().stage(agent(name="asks")(Client(close=what))).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(3))
    await rig.run_to_end(pipeline, config=HASTY)
    assert sorted(await rig.read_numbers(rig.out)) == [0, 1, 2]


async def test_a_stop_does_not_wait_for_an_agent_that_hangs_in_its_open(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(agent(name="asks")(Client(open_="hang"))).sink(rig.out)
    await rig.create(pipeline)
    service = rig.service(pipeline)
    running = asyncio.create_task(service.run())
    await eventually(lambda: service._open_agents is not None and service._open_agents._opening)
    service.stop()
    async with within(10, "the service to end"):
        await running


async def test_a_gap_at_the_end_is_passed_over_while_other_partitions_are_busy(rig: Rig) -> None:
    @agent
    def same(item: Item) -> Item:
        return item

    pipeline = rig.pipeline().stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=2)

    enough = asyncio.Event()

    async def keep_the_other_busy() -> None:
        for part in count():
            if enough.is_set():  # a client that is cancelled may leave a connection behind
                return
            await rig.put_items(range(part * 20, part * 20 + 20), partition=1)

    async with rig.running(pipeline) as service:
        place = rig.first_partition()

        async def passed_over() -> bool:
            return (await rig.committed("same")).get(place) == 6  # three records, three missing

        feeding = asyncio.create_task(keep_the_other_busy())
        try:
            await eventually(lambda: service.metrics[0].processed > 20)
            await rig.put_items(range(3), partition=0)
            await rig.subject.open_gap(rig.first_partition())
            await eventually(passed_over)
        finally:
            enough.set()
            await feeding


async def test_stages_of_a_segment_count_their_own_dead_letters_in_a_shared_topic(
    rig: Rig,
) -> None:
    @agent
    def first(item: Item) -> Item:
        if item.n == 1:
            raise Permanent("one")
        return item

    @agent
    def second(item: Item) -> Item:
        if item.n == 2:
            raise Permanent("two")
        return item

    shared = f"{rig.name}.dlq"
    pipeline = (
        rig.pipeline()
        .stage(first, on_error=dead_letter(), dead_letters=shared)
        .stage(second, on_error=dead_letter(), dead_letters=shared, fused=True)
        .sink(Topic(rig.out, Item))
    )
    await rig.create(pipeline)
    await rig.put_items(range(4))
    service = await rig.run_to_end(pipeline)
    assert [metrics.records_out[shared] for metrics in service.metrics] == [1, 1]
    assert sorted(numbers(await rig.read(shared))) == [1, 2]
