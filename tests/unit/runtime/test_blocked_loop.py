"""An agent that blocks the event loop past the session is named, and does not replay for ever."""

import asyncio
from collections import Counter

import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import StageStoppedError
from streamapp.observability.health import stage_health
from streamapp.pipeline.agent import agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import running, until, until_committed
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

SESSION = RuntimeConfig(session_timeout_seconds=10)
BLOCK_SECONDS = 12.0

pytestmark = pytest.mark.timeout(20)


async def reasons(stage: Service) -> set[str]:
    """Why the stage was unhealthy until this is cancelled."""
    found = set[str]()
    try:
        while True:
            health = stage_health(stage.metrics[0], loop().time(), 60)
            if not health.ok:
                found.add(health.reason)
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return found


@pytest.mark.parametrize("kind", ["plain", "async", "async, and waits"])
@in_virtual_time
async def test_a_record_that_blocks_the_loop_past_the_session_again_and_again_stops_the_stage(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker, calls = await broker_for("p"), Counter[bytes]()

    def work(value: bytes) -> bytes:
        calls[value] += 1
        if value == b"slow":
            loop().burn(BLOCK_SECONDS)
        return value

    @agent
    def compute(value: bytes) -> bytes:
        return work(value)

    @agent(name="compute")
    async def compute_async(value: bytes) -> bytes:
        return work(value)

    @agent(name="compute")
    async def compute_and_wait(value: bytes) -> bytes:
        await asyncio.sleep(0.1)
        work(value)
        await asyncio.sleep(0.1)
        return value

    kinds = {"plain": compute, "async": compute_async, "async, and waits": compute_and_wait}
    await broker.write("p-in", (b"a", b"1"), (b"b", b"slow"), (b"c", b"2"))
    stage = service(broker, one_stage(kinds[kind], concurrency=1), config=SESSION)
    watching = asyncio.create_task(reasons(stage))
    with pytest.raises(StageStoppedError) as raised:
        await stage.run()
    watching.cancel()
    sentence = str(raised.value)
    assert "it would begin one record again for ever" in sentence
    assert "was blocked for at least 11 s, for the third time" in sentence
    assert "agent 'compute' worked on p-in[0] at offset 1; the session" in sentence
    assert "@agent(blocking=True)" in sentence
    assert calls[b"slow"] == 3
    assert await broker.committed("p.stage") <= 1
    told = [text for text in caplog.messages if "the event loop was blocked" in text]
    assert len(told) == 3
    [unhealthy] = await watching
    assert "'compute' has blocked the event loop" in unhealthy
    assert "blocking=True" in unhealthy


@in_virtual_time
async def test_it_stops_as_well_if_a_fused_stage_goes_on_with_what_the_blocking_one_gave() -> None:
    """Between the two, the event loop has a turn, in which the group may take the partition."""
    broker, calls = await broker_for("p"), 0

    @agent
    def compute(value: bytes) -> list[bytes]:
        nonlocal calls
        calls += 1
        loop().burn(BLOCK_SECONDS)
        return [value]

    @agent
    def same(value: bytes) -> bytes:
        return value

    topology = build(
        Pipeline("p", source=Topic("p-in", bytes))
        .stage(compute, name="stage")
        .stage(same, name="next", fused=True)
        .sink(Topic("p-out", bytes))
    )
    await broker.admin().create_topics([TopicSpec("p.next.dlq", 1)])
    await broker.write("p-in", (b"k", b"1"))
    with pytest.raises(StageStoppedError, match="agent 'compute' or 'same' worked on"):
        await service(broker, topology, config=SESSION).run()
    assert calls == 3


@in_virtual_time
async def test_the_record_is_named_as_well_where_each_is_worked_on_alone() -> None:
    """As those of a stage that keeps an audit trail of everything."""
    broker, calls = await broker_for("p"), 0

    @agent
    def compute(value: bytes) -> bytes:
        nonlocal calls
        if value == b"slow":
            calls += 1
            loop().burn(BLOCK_SECONDS)
        return value

    pipeline = Pipeline("p", source=Topic("p-in", bytes), audit="all").stage(compute, name="stage")
    await broker.write("p-in", (b"a", b"1"), (b"b", b"slow"), (b"c", b"2"))
    with pytest.raises(StageStoppedError, match=r"worked on p-in\[0\] at offset 1"):
        await service(broker, build(pipeline.sink(Topic("p-out", bytes))), config=SESSION).run()
    assert calls == 3


@in_virtual_time
async def test_a_stage_that_was_blocked_once_goes_on_and_is_healthy_when_that_is_committed() -> (
    None
):
    broker, calls = await broker_for("p"), 0

    @agent
    def block_once(value: bytes) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            loop().burn(BLOCK_SECONDS)
        return value

    await broker.write("p-in", (b"a", b"1"), (b"b", b"2"))
    stage = service(broker, one_stage(block_once), config=SESSION)
    async with running(stage):
        await until(lambda: stage.metrics[0].blocked_by is not None, seconds=30)
        await until_committed(broker, "p.stage", 2)
        await asyncio.sleep(1.5)
        assert stage_health(stage.metrics[0], loop().time(), 60).ok
    assert calls == 3  # the first was done again


@in_virtual_time
async def test_slow_records_that_are_finished_all_the_same_stop_nothing() -> None:
    """Between two of them, heartbeats are sent."""
    broker = await broker_for("p")

    @agent
    def slow(value: bytes) -> bytes:
        loop().burn(8)
        return value

    values = [b"%d" % n for n in range(9)]
    await broker.write("p-in", *((value, value) for value in values))
    config = RuntimeConfig(session_timeout_seconds=14)
    await service(broker, one_stage(slow), config=config).run(until_end=True)
    assert broker.values("p-out") == values


@in_virtual_time
async def test_an_agent_that_is_declared_blocking_holds_nothing_up() -> None:
    broker = await broker_for("p")
    loop().thread_seconds = lambda _arguments: BLOCK_SECONDS

    @agent(blocking=True)
    def slow(value: bytes) -> bytes:
        return value

    values = [b"%d" % n for n in range(5)]
    await broker.write("p-in", *((b"k", value) for value in values))
    stage = service(broker, one_stage(slow), config=SESSION)
    await stage.run(until_end=True)
    assert broker.values("p-out") == values
    assert stage.metrics[0].rebalances == 1


@in_virtual_time
async def test_attempts_that_wait_for_long_are_not_blamed() -> None:
    broker = await broker_for("p")

    @agent
    async def wait(value: bytes) -> bytes:
        await asyncio.sleep(30)
        return value

    await broker.write("p-in", (b"k", b"1"))
    stage = service(broker, one_stage(wait), config=SESSION)
    async with running(stage):
        await asyncio.sleep(32)
        assert stage.metrics[0].blocked_by is None
    assert broker.values("p-out") == [b"1"]


@in_virtual_time
async def test_records_that_together_block_the_loop_past_the_session_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_for("p")

    @agent(name="compute")
    async def compute(value: bytes) -> bytes:
        loop().burn(3.0)
        return value

    await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(6)))
    async with running(service(broker, one_stage(compute), config=SESSION)):
        await until(lambda: "declare the agent as @agent(blocking=True)" in caplog.text, seconds=60)
    assert "worked on p-in[0] at offset 0 and 5 other records; the session" in caplog.text


@pytest.mark.parametrize(("size", "offset"), [(2, 1), (5, 0)], ids=["full", "waited for others"])
@in_virtual_time
async def test_a_record_of_a_batch_that_blocks_the_loop_is_named(size: int, offset: int) -> None:
    """The last one that was read for a full batch, and the first of one that waited."""
    broker, calls = await broker_for("p"), 0

    @batch_agent(size=size, linger_seconds=1)
    def compute(values: list[bytes]) -> list[bytes]:
        nonlocal calls
        calls += 1
        loop().burn(BLOCK_SECONDS)
        return values

    await broker.write("p-in", (b"a", b"1"), (b"b", b"2"))
    with pytest.raises(StageStoppedError, match=rf"worked on p-in\[0\] at offset {offset}; the"):
        await service(broker, one_stage(compute), config=SESSION).run()
    assert calls == 3


@in_virtual_time
async def test_of_several_slow_records_that_which_blocks_the_loop_past_the_session_is_named() -> (
    None
):
    broker, seconds = await broker_for("p"), {b"slow": 3.0, b"too slow": BLOCK_SECONDS}

    @agent(name="compute")
    async def compute(value: bytes) -> bytes:
        loop().burn(seconds.get(value, 0))
        return value

    await broker.write("p-in", *((value, value) for value in (b"slow", b"too slow", b"quick")))
    stage = service(broker, one_stage(compute, concurrency=1), config=SESSION)
    with pytest.raises(StageStoppedError, match=r"at offset 1; the session"):
        await stage.run()
