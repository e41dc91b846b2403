"""Outputs count in what may be in flight, and a flush with many bytes leaves at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from streamapp.observability.lane_time import Activity
from streamapp.pipeline.agent import Agent, agent
from streamapp.runtime.config import RuntimeConfig
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

RECORDS = 200
OUTPUT = b"x" * 100_000
BOUND = 2_000_000


class Large:
    """Agents that make 100,000 bytes, or 500,000, of each byte; counts what they made."""

    def __init__(self) -> None:
        self.made = 0

    def _one(self) -> bytes:
        self.made += len(OUTPUT)
        return OUTPUT

    @property
    def plain(self) -> Agent[bytes, bytes]:
        @agent
        def plain(_value: bytes) -> bytes:
            loop().burn(0.004)
            return self._one()

        return plain

    @property
    def listed(self) -> Agent[bytes, bytes]:
        @agent
        def listed(_value: bytes) -> list[bytes]:
            return [self._one() for _ in range(5)]

        return listed

    @property
    def later(self) -> Agent[bytes, bytes]:
        @agent
        async def later(_value: bytes) -> bytes:
            await asyncio.sleep(0.004)
            return self._one()

        return later

    @property
    def stream(self) -> Agent[bytes, bytes]:
        @agent
        async def stream(_value: bytes) -> AsyncIterator[bytes]:
            for _ in range(5):
                await asyncio.sleep(0.001)
                yield self._one()

        return stream


async def write(broker: FaultyBroker, partitions: int = 1) -> None:
    for partition in range(partitions):
        pairs = [(b"%d" % n, b"1") for n in range(RECORDS)]
        await broker.write("p-in", *pairs, partition=partition)


@pytest.mark.parametrize("shape", ["plain", "listed", "later", "stream"])
@in_virtual_time
async def test_what_is_not_acknowledged_is_bounded_however_small_its_input_is(shape: str) -> None:
    broker, large = await broker_for("p"), Large()
    await write(broker)
    broker.held["p-out"] = asyncio.Event()
    stage = one_stage(getattr(large, shape), max_in_flight_bytes=BOUND, concurrency=2)
    held = service(broker, stage)
    async with running(held):
        await until(lambda: large.made > 0)
        await asyncio.sleep(60)
        # Attempts that run may end, and a slice of time too, before anybody has to wait.
        assert BOUND - 500_000 <= large.made <= BOUND + 1_000_000
        time_of_lanes = held.metrics[0].lane_time.seconds(loop().time())
        assert time_of_lanes[Activity.BLOCKED] > 50, "they wait for room"
        broker.held.pop("p-out").set()
        await until(lambda: held.metrics[0].processed == RECORDS)
        await until(lambda: len(broker.values("p-out")) * len(OUTPUT) == large.made)
        await until(lambda: held.metrics[0].in_flight_bytes == 0)


@in_virtual_time
async def test_batches_that_are_still_open_count_if_there_are_many_partitions() -> None:
    broker, large = await broker_for("p", partitions=50), Large()
    await write(broker)
    for topic in ("p-out",):
        broker.held[topic] = asyncio.Event()
    stage = one_stage(large.plain, max_in_flight_bytes=BOUND)
    async with running(service(broker, stage)):
        await until(lambda: large.made > 0)
        await asyncio.sleep(60)
        assert BOUND - 500_000 <= large.made <= BOUND + 1_000_000
        broker.held.pop("p-out").set()
        await until(lambda: large.made == RECORDS * len(OUTPUT))


@in_virtual_time
async def test_a_flush_with_many_bytes_leaves_before_its_linger_is_over() -> None:
    broker, large = await broker_for("p"), Large()
    await write(broker)
    config = RuntimeConfig(linger_seconds=3600, flush_records=1_000_000)
    stage = one_stage(large.plain, max_in_flight_bytes=3 * BOUND)
    async with running(service(broker, stage, config=config)):
        await until(lambda: len(broker.values("p-out")) > 0)
        assert large.made <= BOUND + 1_000_000


@in_virtual_time
async def test_no_lane_waits_for_room_after_a_replay_has_discarded_what_was_held() -> None:
    broker, large = await broker_for("p"), Large()
    await write(broker)
    broker.fail_batches["p-out"] = 3
    stage = one_stage(large.listed, max_in_flight_bytes=BOUND)
    held = service(broker, stage)
    async with running(held):
        await until(lambda: len(set(broker.records("p-out"))) >= RECORDS * 5, seconds=60)
        await until(lambda: held.metrics[0].in_flight_bytes == 0)
    assert broker.fired["p-out"] >= 1
    assert await broker.committed("p.stage") == RECORDS


@in_virtual_time
async def test_an_attempt_with_more_outputs_than_may_be_in_flight_is_the_records_fault() -> None:
    broker = await broker_for("p")

    @agent
    def many(value: bytes) -> list[bytes]:
        return [OUTPUT] * int(value)

    await broker.write("p-in", (b"k", b"20"), (b"k", b"21"), (b"k", b"1"))
    stage = one_stage(many, max_in_flight_bytes=BOUND)
    async with running(service(broker, stage)):
        await until(lambda: len(broker.values("p-out")) == 21)
        await until(lambda: broker.values("p.stage.dlq") == [b"21"])
    headers = dict(broker.records("p.stage.dlq")[0].headers)
    assert headers["streamapp.error.reason"] == b"output"
    assert b"more than 2000000 bytes" in (headers["streamapp.error.message"] or b"")
