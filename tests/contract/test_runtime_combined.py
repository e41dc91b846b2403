"""Combinators at work on every broker: as stages, fused, retried, nested and in threads."""

import asyncio
import threading
from collections import Counter

import pytest

from streamapp.errors import Permanent, Transient
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branch import branch
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.combinators.when import when
from streamapp.policies.backoff import Backoff
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.policy import retry
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, error_headers, eventually
from tests.kafka import unique_name

SOON = Backoff(base_seconds=0.001)


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("combined"))


@agent
async def title(item: Item) -> str:
    """Take longer for some than for others, and leave traces in the input."""
    await asyncio.sleep(0.002 * (item.n % 3))
    item.text = "spoilt"
    return f"title {item.n}"


@agent
def region(item: Item) -> str:
    found = f"region {item.n}{item.text}"
    item.text = "spoilt"
    return found


def merge(item: Item, title: str, region: str) -> Item:
    return Item(n=item.n, text=f"{item.text}{title}, {region}")


@pytest.mark.parametrize("fused", [False, True])
async def test_branches_join_for_each_record_in_the_order_of_its_key(
    rig: Rig, *, fused: bool
) -> None:
    @agent
    def same(item: Item) -> Item:
        return item

    joined = parallel(title, region).join(merge)
    pipeline = rig.pipeline().stage(same, concurrency=4).stage(joined, fused=fused).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(40), keys=4)
    await rig.run_to_end(pipeline)
    found = [Item.model_validate_json(one.value or b"") for one in await rig.read(rig.out)]
    assert sorted(item.n for item in found) == list(range(40))
    assert all(item.text == f"title {item.n}, region {item.n}" for item in found)
    for key in range(4):
        assert [item.n for item in found if item.n % 4 == key] == list(range(key, 40, 4))


async def test_a_failing_branch_is_decided_by_the_policy_with_the_input_unchanged(rig: Rig) -> None:
    calls: Counter[int] = Counter()

    @agent
    async def flaky(item: Item) -> str:
        calls[item.n] += 1
        if item.n == 3:
            raise Permanent("never")
        if calls[item.n] <= item.n:
            raise Transient("not yet")
        return "done"

    joined = parallel(title, flaky).join(merge)
    pipeline = rig.pipeline().stage(joined, on_error=retry(2, backoff=SOON)).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(5))
    await rig.run_to_end(pipeline)
    found = [Item.model_validate_json(one.value or b"") for one in await rig.read(rig.out)]
    assert sorted((item.n, item.text) for item in found) == [
        (n, f"title {n}, done") for n in range(3)
    ]
    letters = await rig.read(rig.dead_letters("merge"))
    told = sorted((error_headers(one)["class"], error_headers(one)["attempts"]) for one in letters)
    assert told == [("Permanent", "1"), ("Transient", "3")]


async def test_a_nest_of_combinators_is_one_stage(rig: Rig) -> None:
    @agent
    async def fails(item: Item) -> Item:
        item.text = "spoilt"
        raise OSError

    @agent
    def up_to(item: Item) -> list[Item]:
        return [Item(n=10 * item.n + i, text=item.text) for i in range(item.n)]

    looked_up = parallel(branch(title, timeout_seconds=30), branch(region, retry=retry(1)))
    nested = chain(
        fallback(fails, looked_up.join(merge)),
        choose(when(lambda item: item.n > 1, up_to), otherwise=fallback(fails, up_to)),
    )
    pipeline = rig.pipeline().stage(nested, name="nested").sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(4), keys=1)
    await rig.run_to_end(pipeline)
    found = [Item.model_validate_json(one.value or b"") for one in await rig.read(rig.out)]
    assert [item.n for item in found] == [10, 20, 21, 30, 31, 32]
    assert {item.text for item in found} == {f"title {n}, region {n}" for n in (1, 2, 3)}


async def test_blocking_branches_share_the_threads_of_their_stage(rig: Rig) -> None:
    names: set[str] = set()
    together = threading.Barrier(2)

    @agent(blocking=True)
    def meets(item: Item) -> str:
        names.add(threading.current_thread().name)
        if item.n == 0:
            together.wait(timeout=10)  # only passes when both branches are here at once
        return item.text

    joined = parallel(meets, meets).join(merge)
    pipeline = rig.pipeline().stage(joined, concurrency=2).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(20))
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == list(range(20))
    assert 1 <= len(names) <= 2
    assert all(name.startswith(f"{rig.name}.merge") for name in names)


async def test_a_pool_without_its_bad_member_and_without_any_loses_nothing(rig: Rig) -> None:
    down: set[str] = {"bad"}
    calls: Counter[str] = Counter()

    def member(name: str) -> Agent[Item, Item]:
        @agent(name=name)
        async def serve(item: Item) -> Item:
            calls[name] += 1
            await asyncio.sleep(0.001 * (item.n % 3))
            if name in down:
                item.text = "spoilt"
                raise OSError("no answer")
            return item

        return serve

    soon = BreakerConfig(first_probe_seconds=0.05, longest_probe_seconds=0.1)
    shared = pool(member("bad"), member("good"), capacity=2, breaker=soon)
    pipeline = rig.pipeline().stage(shared, concurrency=6, breaker=soon).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    async with rig.running(pipeline) as service:
        metrics = service.metrics[0]
        await rig.put_items(range(100))
        await eventually(lambda: metrics.processed == 100)
        assert metrics.holds == 0
        down.add("good")
        await rig.put_items(range(100, 200))
        await eventually(lambda: metrics.held_since is not None and metrics.probes > 2)
        down.clear()
        await eventually(lambda: metrics.processed == 200)
    found = [Item.model_validate_json(one.value or b"") for one in await rig.read(rig.out)]
    assert sorted(item.n for item in found) == list(range(200))
    assert {item.text for item in found} == {""}
    for key in range(5):
        assert [item.n for item in found if item.n % 5 == key] == list(range(key, 200, 5))
    assert await rig.read(rig.dead_letters("bad-or-good")) == []
    assert min(calls.values()) > 0
