"""A service: what it opens, closes, selects and tells of its end."""

import asyncio
from typing import Any

import pytest

from streamapp.errors import ConfigurationError, Permanent, StageError, StageStoppedError
from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.policy import stop
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, broker_with, in_virtual_time, one_stage, service


class Client:
    """An agent with a client, that notes what happens to it."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls
        self.opening: asyncio.Event | None = None

    async def open(self) -> None:
        self.calls.append(f"open {self.name}")
        if self.opening is not None:
            await self.opening.wait()

    async def close(self) -> None:
        self.calls.append(f"close {self.name}")

    async def __call__(self, value: bytes) -> bytes:
        return value


def two_clients(calls: list[str]) -> tuple[Client, Client, tuple[Topology, Topology]]:
    first, second = Client("first", calls), Client("second", calls)
    topologies = (one_stage(agent(first), name="a"), one_stage(agent(second), name="b"))
    return first, second, topologies


@in_virtual_time
async def test_agents_are_closed_in_the_opposite_order_of_their_opening() -> None:
    calls: list[str] = []
    *_, topologies = two_clients(calls)
    both = service(await broker_for("a", "b"), *topologies)
    async with running(both):
        await until(lambda: all(metrics.rebalances for metrics in both.metrics))
        assert calls == ["open first", "open second"]
    assert calls == ["open first", "open second", "close second", "close first"]


@in_virtual_time
async def test_a_service_that_is_stopped_while_an_agent_opens_opens_no_other_and_closes_none() -> (
    None
):
    calls: list[str] = []
    first, _, topologies = two_clients(calls)
    first.opening = asyncio.Event()
    both = service(await broker_for("a", "b"), *topologies)
    async with running(both):
        await until(lambda: calls == ["open first"])
    assert calls == ["open first"]
    assert not any(metrics.rebalances for metrics in both.metrics)


@in_virtual_time
async def test_an_agent_that_does_not_open_in_time_ends_the_service_with_a_sentence() -> None:
    calls: list[str] = []
    first, _, topologies = two_clients(calls)
    first.opening = asyncio.Event()
    broker = await broker_for("a", "b")
    both = service(broker, *topologies, config=RuntimeConfig(open_timeout_seconds=7))
    with pytest.raises(StageError, match="agent 'client' of stage 'stage' did not open within 7 s"):
        await both.run()
    assert broker.clock.monotonic() == pytest.approx(7, abs=0.1)


@in_virtual_time
async def test_it_says_that_it_is_open_once_all_agents_are_and_before_a_record_is_read() -> None:
    calls: list[str] = []
    *_, topologies = two_clients(calls)
    both = service(await broker_for("a", "b"), *topologies)

    def on_open() -> None:
        assert not any(metrics.rebalances for metrics in both.metrics)
        calls.append("all")

    await both.run(until_end=True, on_open=on_open)
    assert calls[:3] == ["open first", "open second", "all"]
    assert calls.count("all") == 1


@pytest.mark.parametrize("ends", ["fails", "is stopped"])
@in_virtual_time
async def test_it_never_says_that_it_is_open_when_an_agent_is_not(ends: str) -> None:
    calls: list[str] = []
    first, _, topologies = two_clients(calls)
    first.opening = asyncio.Event()
    both = service(await broker_for("a", "b"), *topologies)
    run = asyncio.create_task(both.run(on_open=lambda: calls.append("all")))
    await until(lambda: calls == ["open first"])
    if ends == "is stopped":
        both.stop()
        await run
    else:
        with pytest.raises(StageError, match="did not open within"):
            await run
    assert "all" not in calls


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
@in_virtual_time
async def test_the_first_failure_is_the_one_that_is_told(order: tuple[str, str]) -> None:
    broker, begun = await broker_for("a", "b"), 0

    @agent
    async def fail(value: bytes) -> bytes:
        nonlocal begun
        begun += 1
        await asyncio.sleep(float(value))
        raise Permanent

    both = service(broker, one_stage(fail, stop(), "a"), one_stage(fail, stop(), "b"))
    for name, seconds in zip(order, (b"1", b"2"), strict=True):
        await broker.write(f"{name}-in", (b"k", seconds))
    with pytest.raises(StageStoppedError) as raised:
        await both.run()
    assert begun == 2
    assert raised.value.partition.topic == f"{order[0]}-in"


@pytest.mark.parametrize("bundle", [None, "small"])
@in_virtual_time
async def test_what_ends_the_others_too_is_a_failure_of_all(bundle: str | None) -> None:
    @agent
    async def fail(value: bytes) -> bytes:
        raise Permanent(value)

    @agent
    def same(value: bytes) -> bytes:
        return value

    broker = await broker_for("a", "b")
    topologies = [one_stage(fail, stop(), "a"), one_stage(same, name="b")]
    both = Service(broker, topologies, clock=broker.clock, bundle=bundle)
    await broker.write("a-in", (b"k", b"1"))
    with pytest.raises(StageStoppedError):
        await both.run(until_end=True)
    failed = {"a"} if bundle else {"a", "b"}
    assert both.failed == dict.fromkeys(failed, "StageStoppedError")


@in_virtual_time
async def test_nothing_is_in_flight_or_held_in_a_stage_that_has_ended() -> None:
    @agent
    async def ask(value: bytes) -> bytes:
        raise OSError(f"nobody answers {value!r}")

    broker = await broker_for("a")
    asks = service(broker, one_stage(ask, name="a", breaker=BreakerConfig(consecutive_failures=1)))
    await broker.write("a-in", (b"k", b"1"), (b"l", b"2"))
    [stage] = asks.metrics
    async with running(asks):
        await until(lambda: stage.held_since is not None and stage.in_flight_records == 2)
    assert (stage.state, stage.held_since, stage.held_reason) == (StageState.STOPPED, None, None)
    assert (stage.in_flight_records, stage.in_flight_bytes) == (0, 0)


def three_stages() -> Topology:
    @agent
    def same(value: bytes) -> bytes:
        return value

    return build(
        Pipeline("p", source=Topic("in", bytes))
        .stage(same, name="head")
        .stage(same, name="tail", fused=True)
        .stage(same, name="last")
        .sink("out")
    )


@in_virtual_time
async def test_only_the_stages_that_are_named_are_run() -> None:
    topics = ("in", "out", "p.tail", "p.head.dlq", "p.tail.dlq", "p.last.dlq")
    broker = await broker_with(*topics)
    await broker.write("in", (b"k", b"1"))
    some = Service(broker, [three_stages()], stages=["head"], clock=broker.clock)
    assert [(m.stage, m.fused_to) for m in some.metrics] == [("head", None), ("tail", "head")]
    await some.run(until_end=True)
    assert (broker.values("p.tail"), broker.values("out")) == ([b"1"], [])
    others = Service(broker, [three_stages()], stages=["last"], clock=broker.clock)
    assert [m.stage for m in others.metrics] == ["last"]
    await others.run(until_end=True)
    assert broker.values("out") == [b"1"]


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        (["tail"], "stage 'tail' is fused to 'head' and runs with it; name 'head'"),
        (["head", "none"], "there is no stage 'none'; there are: head, last"),
    ],
)
def test_a_stage_that_cannot_be_named_is_told(stages: list[str], told: str) -> None:
    broker: Any = None  # refused before it is asked
    with pytest.raises(ConfigurationError, match=told):
        Service(broker, [three_stages()], stages=stages)
