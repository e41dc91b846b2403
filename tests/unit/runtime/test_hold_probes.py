"""Which records a held stage probes with: an outage is told from records that always fail."""

import asyncio
from collections import Counter

import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import DeadLetterBudget
from streamapp.policies.policy import dead_letter, drop
from streamapp.topics.topic import Topic
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.test_hold import (
    OUTAGE_SECONDS,
    QUICK,
    Dependency,
    until_committed,
    write,
)
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service


@pytest.mark.parametrize("is_later", [False, True], ids=["good ones wait", "good ones come later"])
@in_virtual_time
async def test_few_records_that_always_time_out_do_not_hold_the_others(*, is_later: bool) -> None:
    broker, dependency = await broker_for("p"), Dependency(TimeoutError)
    dependency.poison = frozenset(b"%d" % n for n in range(6))
    stage = service(broker, one_stage(dependency.plain, QUICK))
    async with running(stage):
        await write(broker, range(6 if is_later else 200), keys=1000)
        await until(lambda: stage.metrics[0].held_since is not None)
        if is_later:
            await asyncio.sleep(OUTAGE_SECONDS)
            await write(broker, range(6, 200), keys=1000)
        await until_committed(broker, "p.stage", 200)
        assert stage.metrics[0].held_since is None
    assert Counter(broker.values("p.stage.dlq")) == Counter(dependency.poison)
    assert len(broker.values("p-out")) == 194


@in_virtual_time
async def test_only_what_probes_need_is_read_while_records_are_held() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    stage = service(broker, one_stage(dependency.plain, QUICK))
    async with running(stage):
        await write(broker, range(4))
        await until(lambda: stage.metrics[0].held_since is not None)
        await asyncio.sleep(60)  # probes are seconds apart by now
        before = stage.metrics[0].probes
        for first in range(4, 1004, 10):
            await write(broker, range(first, first + 10))
            await asyncio.sleep(0.1)
        probes = stage.metrics[0].probes - before
        assert 10 <= stage.metrics[0].records_in - 4 <= 10 * (1 + probes)
        dependency.is_down = False
        await until_committed(broker, "p.stage", 1004)


@in_virtual_time
async def test_records_that_were_tried_and_those_that_were_not_take_turns_as_probes() -> None:
    broker, tried = await broker_for("p"), list[int]()

    @agent
    def down(value: bytes) -> bytes:
        tried.append(int(value))
        raise OSError("no answer")

    stage = service(broker, one_stage(down, QUICK))
    async with running(stage):
        await write(broker, range(10))
        await until(lambda: stage.metrics[0].held_since is not None)
        await write(broker, range(10, 50))
        await until(lambda: len(tried) >= 20, seconds=300)
    are_new = [tried[i] not in tried[:i] for i in range(10, 20)]
    assert are_new in ([True, False] * 5, [False, True] * 5)


@in_virtual_time
async def test_an_attempt_that_succeeds_during_a_probe_is_not_taken_for_its_success() -> None:
    """It began before the records were held, as a slow one may have."""
    broker, tried, probed = await broker_for("p"), list[int](), list[int]()
    is_let_go = asyncio.Event()

    @agent
    async def down(value: bytes) -> bytes:
        if value == b"0":
            await is_let_go.wait()
            return value
        tried.append(int(value))
        if stage.metrics[0].held_since is not None:
            probed.append(int(value))
            if len(probed) == 9:
                is_let_go.set()
            await asyncio.sleep(1)
        raise OSError("no answer")

    stage = service(broker, one_stage(down, QUICK, timeout_seconds=1000))
    async with running(stage):
        await write(broker, range(10))
        await until(lambda: stage.metrics[0].held_since is not None)
        await write(broker, range(10, 50))
        await until(lambda: len(probed) >= 16, seconds=300)
        assert broker.values("p-out") == [b"0"]
    are_new = [value not in tried[: -len(probed) + i] for i, value in enumerate(probed)]
    assert are_new[6:16] in ([True, False] * 5, [False, True] * 5)


@pytest.mark.parametrize("shape", ["plain", "waiting"])
@in_virtual_time
async def test_the_longest_hold_of_an_outage_begins_with_that_outage(shape: str) -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    step = dependency.plain if shape == "plain" else dependency.waiting
    stage = service(broker, one_stage(step, QUICK, max_hold_seconds=30))
    async with running(stage):
        await write(broker, range(20))
        await until_committed(broker, "p.stage", 20)
        assert len(broker.values("p.stage.dlq")) == 20
        dependency.is_down = False
        await write(broker, range(20, 40))
        await until_committed(broker, "p.stage", 40)
        assert stage.metrics[0].breaker_state.value == "closed"
        dependency.is_down = True
        await write(broker, range(40, 60))
        await asyncio.sleep(20)
        dependency.is_down = False
        await until_committed(broker, "p.stage", 60)
    assert len(broker.values("p.stage.dlq")) == 20
    assert len(broker.values("p-out")) == 40


@in_virtual_time
async def test_two_fused_stages_that_are_both_down_are_probed_each_at_its_time() -> None:
    broker, dependency, seconds = await broker_for("p"), Dependency(), 1.0

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(seconds)
        return value

    breaker = BreakerConfig(slow_seconds=0.5, slow_rate=0.5)
    first = Pipeline("p", source=Topic("p-in", bytes)).stage(
        slow, name="stage", on_error=QUICK, concurrency=64, breaker=breaker
    )
    both = first.stage(dependency.waiting, name="tail", fused=True, on_error=QUICK).sink("p-out")
    await broker.admin().create_topics([TopicSpec("p.tail.dlq", 1)])
    stage = service(broker, build(both))
    dependency.is_down = True
    async with running(stage):
        await write(broker, range(40), keys=100)
        await until(lambda: stage.metrics[0].held_since is not None)
        await asyncio.sleep(OUTAGE_SECONDS)
        # All 40 have passed the first stage, which only a record that is read can probe.
        assert [metrics.breaker_state.value for metrics in stage.metrics] == ["open", "open"]
        assert dependency.calls_while_down < 60
        dependency.is_down = False
        await until_committed(broker, "p.stage", 40)
        seconds = 0.01
        await write(broker, range(40, 60), keys=100)
        await until_committed(broker, "p.stage", 60)
        assert stage.metrics[0].held_since is None
    assert Counter(broker.values("p-out")) == Counter(b"%d" % n for n in range(60))


@pytest.mark.parametrize("shape", ["plain", "waiting"])
@in_virtual_time
async def test_what_is_under_way_to_a_fused_stage_that_is_down_is_no_probe(shape: str) -> None:
    broker, dependency = await broker_for("p"), Dependency()

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(0.1 * int(value))
        return value

    tail = dependency.plain if shape == "plain" else dependency.waiting
    pipeline = (
        Pipeline("p", source=Topic("p-in", bytes))
        .stage(slow, name="stage", on_error=QUICK, concurrency=64)
        .stage(tail, name="tail", fused=True, on_error=dead_letter())
        .sink("p-out")
    )
    await broker.admin().create_topics([TopicSpec("p.tail.dlq", 1)])
    stage = service(broker, build(pipeline))
    dependency.is_down = True
    async with running(stage):
        await write(broker, range(40), keys=100)
        await until(lambda: stage.metrics[1].probes >= 3)
        attempts_until_it_opens = 4
        assert dependency.calls_while_down <= attempts_until_it_opens + stage.metrics[1].probes
        dependency.is_down = False
        await until_committed(broker, "p.stage", 40)
    assert Counter(broker.values("p-out")) == Counter(b"%d" % n for n in range(40))
    assert broker.values("p.tail.dlq") == []


@pytest.mark.parametrize("shape", ["plain", "waiting"])
@in_virtual_time
async def test_new_records_reach_a_fused_stage_as_probes_where_those_it_holds_always_fail(
    shape: str,
) -> None:
    broker, dependency = await broker_for("p"), Dependency(TimeoutError)
    dependency.poison = frozenset(b"%d" % n for n in range(6))
    tail = dependency.plain if shape == "plain" else dependency.waiting
    pipeline = (
        Pipeline("p", source=Topic("p-in", bytes))
        .stage(same, name="stage")
        .stage(tail, name="tail", fused=True, on_error=QUICK)
        .sink("p-out")
    )
    await broker.admin().create_topics([TopicSpec("p.tail.dlq", 1)])
    stage = service(broker, build(pipeline))
    async with running(stage):
        await write(broker, range(6), keys=1000)
        await until(lambda: stage.metrics[1].breaker_state.value != "closed")
        await write(broker, range(6, 100), keys=1000)
        await until_committed(broker, "p.stage", 100)
        assert stage.metrics[0].held_since is None
    assert Counter(broker.values("p.tail.dlq")) == Counter(dependency.poison)


@in_virtual_time
async def test_a_probe_that_never_ends_does_not_hold_the_others() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down, hangs, released = True, False, asyncio.Event()

    @agent
    async def ask(value: bytes) -> bytes:
        stays = hangs
        while stays and not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue  # as a thread does
        return dependency.call(value)

    stage = service(broker, one_stage(ask, QUICK, timeout_seconds=5))
    async with running(stage):
        await write(broker, range(50))
        await until(lambda: stage.metrics[0].held_since is not None)
        hangs, probes = True, stage.metrics[0].probes
        await until(lambda: stage.metrics[0].probes > probes, seconds=60)
        hangs = dependency.is_down = False
        await until(lambda: len(broker.values("p-out")) == 49, seconds=120)
        assert stage.metrics[0].held_since is None
        assert stage.metrics[0].stuck_attempts == 1
        released.set()
        await until_committed(broker, "p.stage", 50)


@pytest.mark.parametrize(
    "budget", [DeadLetterBudget(per_minute=0), DeadLetterBudget(minimum_records=1)]
)
@in_virtual_time
async def test_a_budget_that_allows_no_dead_letter_holds_without_asking_all_the_time(
    budget: DeadLetterBudget,
) -> None:
    broker, dependency = await broker_for("p"), Dependency(KeyError)
    dependency.poison = frozenset([b"0"])
    stage = service(broker, one_stage(dependency.plain, dead_letter(), dead_letter_budget=budget))
    async with running(stage):
        await write(broker, range(1))
        await asyncio.sleep(OUTAGE_SECONDS / 2)
        assert "budget" in (stage.metrics[0].held_reason or "")
        assert dependency.calls < 5
        dependency.poison = frozenset()
        await until_committed(broker, "p.stage", 1)
    assert broker.values("p.stage.dlq") == []


@pytest.mark.parametrize("failing", [2, 3], ids=["two of three keys", "all keys"])
@in_virtual_time
async def test_keys_that_fail_for_long_are_not_given_up_because_others_succeed(
    failing: int,
) -> None:
    """Behind failing records of their keys are held, so in the end all that is tried succeeds."""
    loop().allow_turns(10_000_000)
    broker, dependency = await broker_for("p"), Dependency(LookupError)
    total = 10_000
    dependency.poison = frozenset(b"%d" % n for n in range(total) if n % 90 % 3 < failing)
    stage = service(broker, one_stage(dependency.waiting, QUICK, concurrency=16))
    async with running(stage):
        await write(broker, range(total // 2), keys=90)
        await asyncio.sleep(20 * OUTAGE_SECONDS)
        await write(broker, range(total // 2, total), keys=90)
        await asyncio.sleep(OUTAGE_SECONDS)
        assert stage.metrics[0].held_since is not None
        assert stage.metrics[0].holds == 1
        dependency.poison = frozenset()
        await until_committed(broker, "p.stage", total)
    assert broker.values("p.stage.dlq") == []
    assert len(broker.values("p-out")) == total


@in_virtual_time
async def test_a_probe_that_fails_with_an_error_of_another_policy_makes_room_for_the_next() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True

    @agent
    def step(value: bytes) -> bytes:
        if value == b"4":  # the first that is read to probe with
            raise LookupError("no such customer")
        return dependency.call(value)

    stage = service(broker, one_stage(step, dead_letter().on({LookupError: drop()})))
    async with running(stage):
        await write(broker, range(4))
        await until(lambda: stage.metrics[0].held_since is not None)
        await write(broker, range(4, 5))
        await until(lambda: stage.metrics[0].dropped == 1, seconds=300)
        dependency.is_down = False
        await until_committed(broker, "p.stage", 5)
    assert set(broker.values("p-out")) == {b"0", b"1", b"2", b"3"}
