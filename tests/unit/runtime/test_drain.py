"""A drain finishes what can be finished in time, and does not wait for the rest."""

import asyncio
from collections import Counter

import pytest

from streamapp.errors import Permanent, StageStoppedError
from streamapp.pipeline.agent import Agent, agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry, stop
from streamapp.runtime.config import RuntimeConfig
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

DRAIN_SECONDS = 15.0


class FailsOnce:
    """An agent whose first attempt takes a second and fails."""

    def __init__(self) -> None:
        self.calls: Counter[bytes] = Counter()

    def agent(self) -> Agent[bytes, bytes]:
        @agent
        async def fail_once(value: bytes) -> bytes:
            self.calls[value] += 1
            await asyncio.sleep(1)
            if self.calls[value] == 1:
                raise OSError
            return value

        return fail_once


async def stopped_in_the_first_attempt(
    wait_seconds: float,
) -> tuple[float, list[bytes], int]:
    """Seconds of the drain, what came out, and what was committed; two records, of two keys."""
    broker, fails_once = await broker_for("p"), FailsOnce()
    backoff = Backoff(base_seconds=wait_seconds, max_seconds=wait_seconds)
    config = RuntimeConfig(shutdown_drain_seconds=DRAIN_SECONDS)
    topology = one_stage(fails_once.agent(), retry(3, backoff=backoff))
    stage = service(broker, topology, config=config)
    async with running(stage) as task:
        await broker.write("p-in", (b"a", b"a"), (b"b", b"b"))
        await until(lambda: fails_once.calls.total() == 2)
        began_at = loop().time()
        stage.stop()
        await task
    came = [value or b"" for value in broker.values("p-out")]
    return loop().time() - began_at, came, await broker.committed("p.stage")


@in_virtual_time
async def test_a_retry_that_arises_during_a_drain_does_not_hold_it_up() -> None:
    seconds, came, committed = await stopped_in_the_first_attempt(DRAIN_SECONDS + 1)
    assert seconds == pytest.approx(1, abs=0.1)  # until the attempts have failed
    assert (came, committed) == ([], 0)


@in_virtual_time
async def test_a_retry_that_is_due_within_the_deadline_of_a_drain_is_made() -> None:
    seconds, came, committed = await stopped_in_the_first_attempt(2)
    assert seconds == pytest.approx(4, abs=0.1)
    assert (sorted(came), committed) == ([b"a", b"b"], 2)


@in_virtual_time
async def test_a_retry_that_waits_when_a_drain_begins_is_not_made() -> None:
    broker, fails_once = await broker_for("p"), FailsOnce()
    backoff = Backoff(base_seconds=2, max_seconds=2)
    stage = service(broker, one_stage(fails_once.agent(), retry(3, backoff=backoff)))
    async with running(stage):
        await broker.write("p-in", (b"a", b"a"), (b"b", b"b"))
        await until(lambda: stage.metrics[0].retries == 2)
        began_at = loop().time()
    assert loop().time() - began_at == pytest.approx(0, abs=0.1)
    assert fails_once.calls == {b"a": 1, b"b": 1}


@in_virtual_time
async def test_what_is_finished_leaves_and_is_committed_though_the_rest_does_not_end() -> None:
    broker, started = await broker_for("p"), asyncio.Event()

    @agent
    async def wait_on_the_last(value: bytes) -> bytes:
        if value == b"last":
            started.set()
            await asyncio.Event().wait()
        return value

    config = RuntimeConfig(shutdown_drain_seconds=3, linger_seconds=3600)
    stage = service(broker, one_stage(wait_on_the_last, concurrency=1), config=config)
    async with running(stage):
        await broker.write("p-in", (b"a", b"1"), (b"b", b"2"), (b"c", b"last"))
        await started.wait()
        assert broker.values("p-out") == []
    assert broker.values("p-out") == [b"1", b"2"]
    assert await broker.committed("p.stage") == 2


@in_virtual_time
async def test_a_drain_without_a_producer_is_given_up_at_once_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_for("p")

    @agent
    async def same(value: bytes) -> bytes:
        return value

    async with running(service(broker, one_stage(same))):
        await until(lambda: broker.producers_made == 1)
        broker.fail_batches["p-out"] = 1
        broker.producers_refused = True
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: broker.fired["start"] > 0)
        began_at = loop().time()
    assert loop().time() - began_at == pytest.approx(0, abs=0.1)
    assert "could not finish or write all records in flight" in caplog.text


@in_virtual_time
async def test_a_stop_finishes_what_stands_before_its_record_and_nothing_of_other_partitions() -> (
    None
):
    broker, calls = await broker_for("p", partitions=2), Counter[bytes]()

    @agent
    async def obey(value: bytes) -> bytes:
        calls[value] += 1
        if value == b"stops":
            await asyncio.sleep(2)
            raise Permanent
        if calls[value] == 1:
            raise OSError
        return value

    backoff = Backoff(base_seconds=5, max_seconds=5)
    policy = retry(3, backoff=backoff).on({Permanent: stop()})
    stage = service(broker, one_stage(obey, policy))
    await broker.write("p-in", (b"a", b"before"), (b"b", b"stops"), (b"c", b"behind"))
    await broker.write("p-in", (b"a", b"other"), partition=1)
    with pytest.raises(StageStoppedError):
        await stage.run()
    assert calls == {b"before": 2, b"stops": 1, b"behind": 1, b"other": 1}
    assert broker.values("p-out") + broker.values("p-out", 1) == [b"before"]
    assert await broker.committed("p.stage") == 1
