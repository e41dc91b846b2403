"""Blocking agents: side by side in threads, and held until their threads return."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, error_headers, eventually
from tests.kafka import unique_name


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("blocking"))


async def test_blocking_agents_run_side_by_side_and_in_the_order_of_their_keys(rig: Rig) -> None:
    together = threading.Barrier(4)

    @agent(blocking=True)
    def meets_others(item: Item) -> Item:
        if item.n < 4:
            together.wait(timeout=60)  # only passes when four are here at once
        return item

    pipeline = rig.pipeline().stage(meets_others, concurrency=4).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(40), keys=4)
    await rig.run_to_end(pipeline)
    came = await rig.read_numbers(rig.out)
    assert sorted(came) == list(range(40))
    for key in range(4):
        assert [n for n in came if n % 4 == key] == list(range(key, 40, 4))


async def test_no_more_threads_run_than_attempts_may(rig: Rig) -> None:
    seen: set[int] = set()

    @agent(blocking=True)
    def where(item: Item) -> Iterator[Item]:
        seen.add(threading.get_ident())
        yield item
        yield item

    pipeline = rig.pipeline().stage(where, concurrency=3).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(60), keys=60)
    await rig.run_to_end(pipeline)
    assert len(await rig.read_numbers(rig.out)) == 120
    assert 1 <= len(seen) <= 3
    assert threading.get_ident() not in seen


async def test_a_thread_that_timed_out_keeps_its_key_until_it_returns(rig: Rig) -> None:
    go_on = threading.Event()
    running: Counter[int] = Counter()
    most: Counter[int] = Counter()
    lock = threading.Lock()

    @agent(blocking=True)
    def slow(item: Item) -> Item:
        key = item.n % 2
        with lock:
            running[key] += 1
            most[key] = max(most[key], running[key])
        if item.n == 0 and not go_on.is_set():
            go_on.wait(timeout=60)
        with lock:
            running[key] -= 1
        return item

    policy = retry(2, backoff=Backoff(base_seconds=0.001))
    pipeline = rig.pipeline().stage(slow, on_error=policy, timeout_seconds=1, concurrency=4)
    pipeline = pipeline.sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(10), keys=2)
    async with rig.running(pipeline) as service:
        metrics = service.metrics[0]
        await eventually(lambda: metrics.records_out[rig.out] == 5)  # the other key goes on
        await eventually(lambda: metrics.stuck_attempts == 1, seconds=20)  # and it is told
        go_on.set()
        await eventually(lambda: metrics.records_out[rig.out] == 10)
        assert metrics.timeouts == 1
    came = await rig.read_numbers(rig.out)
    assert [n for n in came if n % 2 == 0] == [0, 2, 4, 6, 8]
    assert most == {0: 1, 1: 1}


async def test_what_a_thread_raises_is_decided_by_the_policy(rig: Rig) -> None:
    @agent(blocking=True)
    def raises(item: Item) -> Item:
        raise {0: OSError, 1: StopIteration, 2: SystemExit}[item.n]("no")

    pipeline = rig.pipeline().stage(raises, on_error=retry(0)).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(3))
    await rig.run_to_end(pipeline)
    letters = await rig.read(rig.dead_letters("raises"))
    classes = [error_headers(letter)["class"] for letter in letters]
    assert sorted(classes) == ["OSError", "RuntimeError", "RuntimeError"]


def test_an_async_agent_cannot_be_blocking() -> None:
    with pytest.raises(
        PipelineError, match="agent 'waits' is async and cannot be blocking; drop blocking=True"
    ):

        @agent(blocking=True)
        async def waits(item: Item) -> Item:
            return item
