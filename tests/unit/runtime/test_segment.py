"""A segment from its start to its end: what it asks of the broker, its sweeps, its last words."""

import asyncio
import threading

import pytest

from streamapp.brokers.protocols import ConsumerConfig
from streamapp.errors import BrokerError, Permanent, StageStoppedError
from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter, stop
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.test_faults import broker_for as real_time_broker_for
from tests.unit.runtime.test_faults import topology
from tests.unit.runtime.virtual import (
    broker_for,
    broker_with,
    in_virtual_time,
    loop,
    one_stage,
    service,
)


@agent
async def hang(value: bytes) -> bytes:
    await asyncio.Event().wait()
    return value


@in_virtual_time
async def test_a_consumer_is_asked_for_what_its_stage_and_its_worker_declare() -> None:
    broker = await broker_for("p")
    config = RuntimeConfig(
        revoke_drain_seconds=7, session_timeout_seconds=11, instance_id="worker-3"
    )
    stage = service(broker, one_stage(same, max_in_flight_bytes=12345), config=config)
    async with running(stage):
        await until(lambda: stage.metrics[0].rebalances == 1)
    assert broker.consumers_asked == [
        ConsumerConfig(
            group="p.stage",
            topics=("p-in",),
            max_prefetch_bytes=12345,
            rebalance_timeout_seconds=7 + 7 + 10,
            session_timeout_seconds=11,
            group_instance_id="worker-3",
        )
    ]


@pytest.mark.parametrize(
    ("timeout_seconds", "latest"), [(0.05, 0.055), (0.5, 0.55), (5, 5.5), (30, 31)]
)
@in_virtual_time
async def test_an_attempt_is_cancelled_a_tenth_of_its_timeout_late_at_most_and_a_second(
    timeout_seconds: float, latest: float
) -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(hang, timeout_seconds=timeout_seconds))
    async with running(stage):
        await asyncio.sleep(0.5001)
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: stage.metrics[0].timeouts == 1, seconds=60)
        took = loop().time() - 0.5001
        assert timeout_seconds <= took <= latest + 0.006  # a look each 5 ms


@pytest.mark.parametrize(
    ("first", "first_seconds"), [(same, 30), (hang, 30)], ids=["plain", "async"]
)
@in_virtual_time
async def test_the_shortest_timeout_of_fused_stages_is_kept(
    first: Agent[bytes, bytes], first_seconds: float
) -> None:
    @agent
    async def at_once(value: bytes) -> bytes:
        return value

    head = at_once if first is hang else first
    broker = await broker_with("in", "out", "p.head.dlq", "p.tail.dlq")
    fused = build(
        Pipeline("p", source=Topic("in", bytes))
        .stage(head, name="head", timeout_seconds=first_seconds, concurrency=2)
        .stage(
            hang,
            name="tail",
            fused=True,
            timeout_seconds=0.5,
            on_error=dead_letter(),
            breaker=None,
        )
        .sink(Topic("out", bytes))
    )
    async with running(service(broker, fused)):
        await broker.write("in", (b"a", b"1"), (b"b", b"2"))
        await until(lambda: len(broker.records("p.tail.dlq")) == 2)
        assert loop().time() < 0.7, "both at the same time, and at their own timeout"
    reasons = {error_headers(letter)["reason"] for letter in broker.records("p.tail.dlq")}
    assert reasons == {"timeout"}


@pytest.mark.parametrize(
    ("is_committed", "stop_timeout_seconds", "seconds"),
    [(True, 3, 3), (False, 3, 1), (False, 0.5, 0.5)],
)
@in_virtual_time
async def test_a_consumer_that_does_not_end_is_abandoned_sooner_when_it_did_not_commit(
    *,
    is_committed: bool,
    stop_timeout_seconds: float,
    seconds: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_for("p")
    config = RuntimeConfig(stop_timeout_seconds=stop_timeout_seconds, commit_interval_seconds=3600)
    async with running(service(broker, one_stage(same), config=config)):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: broker.values("p-out") == [b"1"])
        broker.stops_unanswered = True
        broker.commits_refused = not is_committed
        began_at = loop().time()
    assert loop().time() - began_at == pytest.approx(seconds, abs=0.05)
    assert "the consumer did not close properly" in caplog.text
    assert broker.fired["stop"] == 1


@in_virtual_time
async def test_a_stage_whose_consumer_cannot_start_has_failed() -> None:
    broker = await broker_for("p")
    broker.starts_refused = True
    stage = service(broker, one_stage(same))
    with pytest.raises(BrokerError, match="no group for now"):
        await stage.run()
    assert stage.metrics[0].state is StageState.FAILED


@in_virtual_time
async def test_the_word_of_a_policy_counts_for_more_than_an_attempt_that_does_not_end() -> None:
    broker = await broker_for("p")

    @agent
    async def obey(value: bytes) -> bytes:
        if value == b"stops":
            await asyncio.sleep(1)
            raise Permanent
        deaf_until = loop().time() + 60
        while (left := deaf_until - loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return value

    await broker.write("p-in", (b"a", b"deaf"), (b"b", b"stops"))
    stage = service(broker, one_stage(obey, stop(), timeout_seconds=100))
    with pytest.raises(StageStoppedError):
        await stage.run()
    assert stage.metrics[0].state is StageState.FAILED


@in_virtual_time
async def test_a_drain_ends_when_its_last_output_is_acknowledged() -> None:
    broker = await broker_for("p")
    broker.held["p-out"] = asyncio.Event()
    async with running(service(broker, one_stage(same))):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: broker.fired["held"] == 1)
        began_at = loop().time()
        loop().call_later(2, broker.held["p-out"].set)
    assert loop().time() - began_at == pytest.approx(2, abs=0.05)
    assert await broker.committed("p.stage") == 1


def threads_of(stage: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(stage)]


async def test_threads_are_named_after_their_stage_and_end_with_it() -> None:
    broker = await real_time_broker_for("a")

    @agent(blocking=True)
    def blocking(value: bytes) -> bytes:
        return value

    async with running(Service(broker, [topology("a", blocking)])):
        await broker.write("a-in", (b"k", b"1"))
        await until(lambda: broker.values("a-out") == [b"1"])
        assert threads_of("a.stage")
    await until(lambda: not threads_of("a.stage"))
