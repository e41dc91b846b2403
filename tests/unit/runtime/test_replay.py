"""What a replay waits for, replaces and repeats."""

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.errors import BrokerError
from streamapp.pipeline.agent import agent
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

pytestmark = pytest.mark.timeout(20)  # a replay that goes round without a pause never ends


@in_virtual_time
async def test_waits_between_replays_grow_to_their_bound_and_begin_anew_after_a_success() -> None:
    broker = await broker_for("p")
    async with running(service(broker, one_stage(same))):
        broker.fail_batches["p-out"] = 9
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: broker.values("p-out") == [b"1"], seconds=100)
        assert waits(broker.failed_at) == pytest.approx([0, 0.5, 1, 2, 4, 8, 10, 10], abs=0.1)

        broker.failed_at.clear()
        broker.fail_batches["p-out"] = 3
        await broker.write("p-in", (b"k", b"2"))
        await until(lambda: broker.values("p-out") == [b"1", b"2"])
        assert waits(broker.failed_at) == pytest.approx([0, 0.5], abs=0.1)


def waits(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


@pytest.mark.parametrize("failing", [("a", "b"), ("a",)], ids=["both saw it", "one saw it"])
@in_virtual_time
async def test_two_stages_that_lose_one_producer_replace_it_once(failing: tuple[str, ...]) -> None:
    broker = await broker_for("a", "b")
    both = service(broker, one_stage(same, name="a"), one_stage(same, name="b"))
    async with running(both):
        await until(lambda: all(metrics.rebalances for metrics in both.metrics))
        gate = asyncio.Event()
        broker.held = {"a-out": gate, "b-out": gate}
        broker.fail_batches = Counter(f"{name}-out" for name in failing)
        await broker.write("a-in", (b"k", b"1"))
        await broker.write("b-in", (b"k", b"2"))
        await until(lambda: broker.fired["held"] == 2)
        gate.set()
        await until(lambda: broker.values("a-out") == [b"1"])
        await until(lambda: b"2" in broker.values("b-out"))
        await asyncio.sleep(5)
    assert [m.producer_replacements for m in both.metrics] == [1, int("b" in failing)]
    assert broker.producers_made == 2


@in_virtual_time
async def test_a_stage_works_again_on_what_it_had_in_hand_when_another_lost_the_producer() -> None:
    broker, gate = await broker_for("a", "b"), asyncio.Event()
    calls = Counter[bytes]()

    @agent
    async def gated(value: bytes) -> bytes:
        calls[value] += 1
        await gate.wait()
        return value

    both = service(broker, one_stage(same, name="a"), one_stage(gated, name="b"))
    async with running(both):
        await broker.write("b-in", (b"k", b"1"))
        await until(lambda: calls[b"1"] == 1)
        broker.fail_batches["a-out"] = 1
        await broker.write("a-in", (b"k", b"2"))
        await until(lambda: broker.values("a-out") == [b"2"])
        await until(lambda: calls[b"1"] == 2)
        gate.set()
        await until(lambda: broker.values("b-out") == [b"1"])
    assert await broker.committed("b.stage") == 1


@in_virtual_time
async def test_after_a_replay_what_was_finished_ahead_of_the_frontier_is_not_done_again() -> None:
    broker, gate = await broker_for("p"), asyncio.Event()
    calls: Counter[bytes] = Counter()

    @agent
    async def hold_the_first(value: bytes) -> bytes:
        calls[value] += 1
        if value == b"0":
            await gate.wait()
        return value

    async with running(service(broker, one_stage(hold_the_first, concurrency=4))):
        values = [b"%d" % n for n in range(5)]
        await broker.write("p-in", *((value, value) for value in values))
        await until(lambda: broker.values("p-out") == values[1:])
        broker.fail_batches["p-out"] = 1
        await broker.write("p-in", (b"5", b"5"))
        await until(lambda: broker.values("p-out") == [*values[1:], b"5"])
        assert broker.fired["p-out"] == 1
        gate.set()
        await until(lambda: broker.values("p-out")[-1] == b"0")
    assert calls == {b"0": 2, **dict.fromkeys(values[1:], 1), b"5": 2}
    assert await broker.committed("p.stage") == 6


@in_virtual_time
async def test_a_limit_that_was_lowered_is_known_after_one_replay() -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(same))
    async with running(stage):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: broker.values("p-out") == [b"1"])
        await broker.admin().alter_topic_config("p-out", {"max.message.bytes": "1000"})
        await broker.write("p-in", (b"k", b"x" * 2000), (b"k", b"2"))
        await until(lambda: broker.values("p-out") == [b"1", b"2"])
        assert broker.values("p.stage.dlq") == [b"x" * 2000]
    assert stage.metrics[0].producer_replacements == 1


async def refuse(_admin: MemoryAdmin, _names: object) -> Any:
    raise BrokerError("not now")


async def never_answer(_admin: MemoryAdmin, _names: object) -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("describe", "seconds"), [(refuse, 0), (never_answer, 5)])
@in_virtual_time
async def test_a_replay_goes_on_with_the_old_limits_where_they_cannot_be_read(
    describe: Any, seconds: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await broker_for("p")
    async with running(service(broker, one_stage(same))):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: broker.values("p-out") == [b"1"])
        monkeypatch.setattr(MemoryAdmin, "describe_topics", describe)
        broker.fail_batches["p-out"] = 1
        await broker.write("p-in", (b"k", b"2"))
        await until(lambda: broker.values("p-out") == [b"1", b"2"])
        assert loop().time() - broker.failed_at[0] == pytest.approx(seconds, abs=0.5)
    assert any("limits of topics could not be read" in text for text in caplog.messages)


@in_virtual_time
async def test_a_stage_goes_on_though_a_lost_producer_never_takes_its_batch() -> None:
    broker = await broker_for("a", "b")
    both = service(broker, one_stage(same, name="a"), one_stage(same, name="b"))
    async with running(both):
        await until(lambda: all(metrics.rebalances for metrics in both.metrics))
        broker.held["a-out"] = asyncio.Event()
        await broker.write("a-in", (b"k", b"1"))
        await until(lambda: broker.fired["held"] == 1)
        broker.held.clear()  # the next producer takes it
        broker.fail_batches["b-out"] = 1
        await broker.write("b-in", (b"k", b"2"))
        await until(lambda: broker.values("b-out") == [b"2"])
        await until(lambda: broker.values("a-out") == [b"1"])
