"""When attempts are cancelled and cancelled again, and when their lanes end."""

import asyncio
from contextlib import suppress

import pytest

from streamapp.errors import DrainTimeoutError
from streamapp.pipeline.agent import Agent, agent
from streamapp.policies.policy import dead_letter
from streamapp.runtime.burst import Burst
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from tests.contract.pipelines import error_headers
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

TIMEOUT_SECONDS = 10


class Deaf:
    """An agent that goes on with the record called deaf until it was cancelled so often.

    Attributes:
        ends_at: how often.
        cancelled_at: monotonic seconds of each cancel.
    """

    def __init__(self, ends_at: int) -> None:
        self.cancelled_at: list[float] = []
        self.calls: list[bytes] = []
        self.ends_at = ends_at

    def agent(self) -> Agent[bytes, bytes]:
        @agent(name="stage")
        async def deaf(value: bytes) -> bytes:
            self.calls.append(value)
            if value == b"slow":
                await asyncio.Event().wait()
            while value == b"deaf":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled_at.append(loop().time())
                    if len(self.cancelled_at) == self.ends_at:
                        raise
            return value

        return deaf


def stage_of(
    deaf: Deaf, broker: FaultyBroker, concurrency: int = 1, config: RuntimeConfig | None = None
) -> Service:
    topology = one_stage(
        deaf.agent(),
        dead_letter(),
        timeout_seconds=TIMEOUT_SECONDS,
        concurrency=concurrency,
        breaker=None,
    )
    return service(broker, topology, config=config)


@in_virtual_time
async def test_an_attempt_that_goes_on_is_cancelled_every_five_seconds_and_stuck_from_the_2nd() -> (
    None
):
    broker, deaf = await broker_for("p"), Deaf(ends_at=4)
    await broker.write("p-in", (b"k", b"deaf"))
    stage = stage_of(deaf, broker)
    [metrics] = stage.metrics
    async with running(stage):
        for seconds, cancels, stuck in [(9, 0, 0), (14.5, 1, 0), (16.5, 2, 1), (21.5, 3, 1)]:
            await asyncio.sleep(seconds - loop().time())
            assert (len(deaf.cancelled_at), metrics.stuck_attempts) == (cancels, stuck)
        await until(lambda: len(broker.values("p.stage.dlq")) == 1)
        assert deaf.cancelled_at == pytest.approx([10, 15, 20, 25])
        await until(lambda: metrics.stuck_attempts == 0)
    [letter] = broker.records("p.stage.dlq")
    assert error_headers(letter)["reason"] == "timeout"


@in_virtual_time
async def test_a_lane_whose_attempt_was_stuck_begins_the_next_one_anew() -> None:
    broker, deaf = await broker_for("p"), Deaf(ends_at=2)
    await broker.write("p-in", (b"k", b"deaf"), (b"k", b"slow"), (b"k", b"last"))
    stage = stage_of(deaf, broker)
    [metrics] = stage.metrics
    async with running(stage):
        await until(lambda: deaf.calls == [b"deaf", b"slow"], seconds=20)
        began_at = loop().time()
        await until(lambda: metrics.stuck_attempts == 0)
        await until(lambda: broker.values("p-out") == [b"last"], seconds=20)
        assert loop().time() - began_at == pytest.approx(TIMEOUT_SECONDS, abs=1.1)
    assert metrics.timeouts == 2


@pytest.mark.parametrize(
    ("failed_at", "cancelled_at"),
    [(3.25, [3.25, 9, 14]), (12.25, [10, 12.25, 18])],
    ids=["while it runs", "while it goes on after its timeout"],
)
@in_virtual_time
async def test_a_replay_cancels_an_attempt_at_once_and_again_after_five_seconds(
    failed_at: float, cancelled_at: list[float]
) -> None:
    broker, deaf = await broker_for("p"), Deaf(ends_at=3)
    await broker.write("p-in", (b"k", b"deaf"))
    stage = stage_of(deaf, broker, concurrency=4)
    async with running(stage):
        await asyncio.sleep(failed_at)
        broker.fail_batches["p-out"] = 1
        await broker.write("p-in", (b"quick", b"quick"))
        await until(lambda: len(deaf.cancelled_at) == 3, seconds=20)
        assert deaf.cancelled_at == pytest.approx(cancelled_at, abs=0.05)
        await until(lambda: deaf.calls.count(b"deaf") == 2)
        deaf.ends_at = len(deaf.cancelled_at) + 2
        await until(lambda: len(deaf.cancelled_at) == deaf.ends_at - 1, seconds=20)
        await asyncio.sleep(3)
        assert stage.metrics[0].stuck_attempts == 0, "this one was cancelled once"
        await until(lambda: len(broker.values("p.stage.dlq")) == 1, seconds=20)
    assert stage.metrics[0].timeouts == 1, "an attempt that is delivered again has not timed out"


@in_virtual_time
async def test_a_stop_waits_five_seconds_for_an_attempt_that_goes_on_and_tells_of_it() -> None:
    broker, deaf = await broker_for("p"), Deaf(ends_at=0)
    await broker.write("p-in", (b"k", b"deaf"))
    stage = stage_of(deaf, broker, config=RuntimeConfig(shutdown_drain_seconds=2))
    task = asyncio.create_task(stage.run())
    await asyncio.sleep(1)
    stage.stop()
    with pytest.raises(DrainTimeoutError, match="1 attempts of stage 'stage' of pipeline 'p'"):
        await task
    assert loop().time() == pytest.approx(1 + 2 + 5, abs=0.05)
    deaf.ends_at = len(deaf.cancelled_at) + 1  # of the task that was left behind


def ended_by(error: BaseException) -> list[str]:
    """What stands in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return [text for one in error.exceptions for text in ended_by(one)]
    return [str(error)]


@in_virtual_time
async def test_a_fault_in_a_lane_ends_the_stage_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*_arguments: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Burst, "run", run)
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    with pytest.raises(Exception) as raised:  # noqa: PT011 - a group, or the error itself
        await service(broker, one_stage(Deaf(0).agent(), concurrency=4)).run()
    assert ended_by(raised.value) == ["a fault of ours"]


@in_virtual_time
async def test_a_lane_that_somebody_cancels_ends_the_stage_with_its_name() -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(Deaf(0).agent(), concurrency=4))
    task = asyncio.create_task(stage.run())
    await until(lambda: stage.metrics[0].rebalances == 1)
    [lane] = [task for task in asyncio.all_tasks() if task.get_name() == "p.stage lane 2"]
    lane.cancel()
    with pytest.raises(Exception) as raised:  # noqa: PT011 - a group, or the error itself
        await task
    assert ended_by(raised.value) == ["p.stage lane 2 was cancelled for an unknown reason"]


@in_virtual_time
async def test_an_attempt_that_swallows_the_end_of_its_stage_is_the_last_of_its_lane() -> None:
    broker, calls = await broker_for("p"), list[bytes]()

    @agent
    async def swallow(value: bytes) -> bytes:
        calls.append(value)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return value

    stage = service(
        broker,
        one_stage(swallow, concurrency=1),
        config=RuntimeConfig(shutdown_drain_seconds=2),
    )
    async with running(stage):
        await broker.write("p-in", (b"k", b"1"), (b"l", b"2"))
        await until(lambda: calls == [b"1"])
    assert calls == [b"1"]
    assert await broker.committed("p.stage") == 0
