"""Ages, lags and durations as they are exported, to the second, of a runtime at work."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from streamapp.observability.exporter import StageCollector
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker, running
from tests.unit.runtime.virtual import (
    broker_for,
    broker_with,
    in_virtual_time,
    loop,
    one_stage,
    service,
)

LOOK_SECONDS = 1.0
"""Between two looks at the ends of the partitions."""


class Exported:
    """What a scrape of a service says now."""

    def __init__(self, broker: FaultyBroker, service: Service) -> None:
        collector = StageCollector(broker.clock)
        for metrics in service.metrics:
            collector.add(metrics)
        self._registry = CollectorRegistry()
        self._registry.register(collector)

    def value(self, name: str, stage: str = "stage", **labels: str) -> float | None:
        every = {"pipeline": "p", "stage": stage, **labels}
        return self._registry.get_sample_value(f"streamapp_{name}", every)

    def of_partition(self, name: str, partition: int) -> float | None:
        return self.value(name, topic="p-in", partition=str(partition))


class Gated:
    """An agent that keeps records back by their value until they are let go."""

    def __init__(self, *held: bytes) -> None:
        self.gates = {value: asyncio.Event() for value in held}

    def agent(self) -> Agent[bytes, bytes]:
        @agent
        async def gated(value: bytes) -> bytes:
            if value in self.gates:
                await self.gates[value].wait()
            return value

        return gated


def milliseconds_ago(broker: FaultyBroker, seconds: float) -> int:
    return int((broker.clock.time() - seconds) * 1000)


@in_virtual_time
async def test_the_progress_age_of_a_partition_grows_while_only_others_make_progress() -> None:
    broker, gated = await broker_for("p", partitions=2), Gated(b"held")
    stage = service(broker, one_stage(gated.agent()))
    async with running(stage):
        exported = Exported(broker, stage)
        await broker.write("p-in", (b"k", b"held"), partition=1)
        await asyncio.sleep(2 * LOOK_SECONDS)
        first = exported.of_partition("partition_progress_age_seconds", 1)
        assert first is not None
        assert first <= 2 * LOOK_SECONDS
        for _ in range(30):
            await broker.write("p-in", (b"k", b"free"), partition=0)
            await asyncio.sleep(1)
        assert exported.of_partition("partition_progress_age_seconds", 1) == first + 30
        assert exported.of_partition("lag_records", 1) == 1
        last = exported.value("last_progress_age_seconds")
        assert last is not None
        assert 0 < last <= 1
        gated.gates[b"held"].set()
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert exported.of_partition("partition_progress_age_seconds", 1) == 0


@in_virtual_time
async def test_the_progress_age_of_a_quiet_partition_without_lag_is_zero() -> None:
    broker, gated = await broker_for("p"), Gated(b"held")
    stage = service(broker, one_stage(gated.agent()))
    async with running(stage):
        exported = Exported(broker, stage)
        await broker.write("p-in", (b"k", b"free"))
        await asyncio.sleep(60)
        assert exported.of_partition("lag_records", 0) == 0
        assert exported.of_partition("partition_progress_age_seconds", 0) == 0
        assert exported.value("last_progress_age_seconds") == pytest.approx(60, abs=0.5)
        await broker.write("p-in", (b"k", b"held"))
        await asyncio.sleep(10)
        age = exported.of_partition("partition_progress_age_seconds", 0)
        assert age == pytest.approx(10, abs=LOOK_SECONDS)  # not 70: it had nothing to do before
        gated.gates[b"held"].set()


@in_virtual_time
async def test_the_progress_age_of_a_partition_with_lag_counts_from_its_last_record() -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(waits))
    async with running(stage):
        exported = Exported(broker, stage)
        await broker.write("p-in", *((b"k", b"4000") for _ in range(20)))
        await asyncio.sleep(4 * 5 + 3)
        assert exported.of_partition("lag_records", 0) == 15
        age = exported.of_partition("partition_progress_age_seconds", 0)
        assert age == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("silence", ["ends_refused", "ends_unanswered"])
@in_virtual_time
async def test_lag_is_unknown_while_kafka_is_silent_and_never_old_or_zero(silence: str) -> None:
    broker, gated = await broker_for("p"), Gated(b"held")
    stage = service(broker, one_stage(gated.agent()))
    async with running(stage):
        exported = Exported(broker, stage)
        await broker.write("p-in", (b"k", b"held"), (b"k", b"2"), (b"k", b"3"))
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert exported.of_partition("lag_records", 0) == 3
        assert exported.value("cut_off_seconds") == 0

        setattr(broker, silence, True)
        await asyncio.sleep(30)
        assert exported.of_partition("lag_records", 0) is None
        assert exported.of_partition("lag_seconds", 0) is None
        assert exported.value("cut_off_seconds") == pytest.approx(27, abs=3)

        setattr(broker, silence, False)
        await broker.write("p-in", (b"k", b"4"))
        await asyncio.sleep(10)
        assert exported.of_partition("lag_records", 0) == 4
        assert exported.value("cut_off_seconds") == 0
        gated.gates[b"held"].set()
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert exported.of_partition("lag_records", 0) == 0


@in_virtual_time
async def test_lag_in_seconds_of_what_was_there_before_the_worker_is_that_of_its_timestamp() -> (
    None
):
    broker, gated = await broker_for("p"), Gated(b"old", b"older", b"newer")
    stage = service(broker, one_stage(gated.agent()))
    began_at = loop().time()
    for value, age in ((b"old", 500), (b"older", 900), (b"free", 700), (b"newer", 100)):
        stamp = milliseconds_ago(broker, age)
        await broker.write("p-in", (value, value), timestamp=stamp)
    async with running(stage):
        exported = Exported(broker, stage)
        await asyncio.sleep(2 * LOOK_SECONDS)

        def age_when_written() -> float | None:
            lag = exported.of_partition("lag_seconds", 0)
            return None if lag is None else lag - (loop().time() - began_at)

        assert age_when_written() == pytest.approx(500, abs=0.01)  # the first, not the oldest
        for value in (b"old", b"older", b"newer"):
            gated.gates[value].set()
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert exported.of_partition("lag_seconds", 0) == 0


@in_virtual_time
async def test_lag_in_seconds_is_never_below_zero_for_a_timestamp_ahead_of_the_clock() -> None:
    broker, gated = await broker_for("p"), Gated(b"ahead")
    stage = service(broker, one_stage(gated.agent()))
    await broker.write("p-in", (b"ahead", b"ahead"), timestamp=milliseconds_ago(broker, -1800))
    async with running(stage):
        exported = Exported(broker, stage)
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert exported.of_partition("lag_seconds", 0) == pytest.approx(0, abs=LOOK_SECONDS)
        found = stage.metrics[0].clock_skew
        assert found is not None
        assert found.ahead_seconds > 1700
        gated.gates[b"ahead"].set()


@in_virtual_time
@pytest.mark.parametrize("age", [30 * 86_400, -1800])
async def test_lag_in_seconds_counts_from_when_a_record_came_whatever_its_timestamp(
    age: float,
) -> None:
    broker, gated = await broker_for("p"), Gated(b"first", b"second")
    stage = service(broker, one_stage(gated.agent()))
    async with running(stage):
        exported = Exported(broker, stage)
        await asyncio.sleep(300)  # a quiet topic
        for value in (b"first", b"second"):
            await broker.write("p-in", (value, value), timestamp=milliseconds_ago(broker, age))
            await asyncio.sleep(10)
        lag = exported.of_partition("lag_seconds", 0)
        assert lag == pytest.approx(20, abs=LOOK_SECONDS)
        gated.gates[b"first"].set()
        await asyncio.sleep(2 * LOOK_SECONDS)
        lag = exported.of_partition("lag_seconds", 0)
        assert lag == pytest.approx(10 + 2 * LOOK_SECONDS, abs=LOOK_SECONDS)
        [found] = [stage.metrics[0].clock_skew]
        assert found is not None
        assert found.ahead_seconds == pytest.approx(-age, abs=60)
        gated.gates[b"second"].set()


@in_virtual_time
async def test_lag_in_seconds_counts_from_the_first_look_where_nothing_tells_a_time() -> None:
    broker, gated = await broker_for("p"), Gated(b"held")
    stage = service(broker, one_stage(gated.agent()))
    async with running(stage):
        exported = Exported(broker, stage)
        await broker.write("p-in", (b"k", b"free"), timestamp=milliseconds_ago(broker, 900))
        await asyncio.sleep(2 * LOOK_SECONDS)
        await broker.write("p-in", (b"k", b"held"), timestamp=-1)
        await asyncio.sleep(20)
        lag = exported.of_partition("lag_seconds", 0)
        assert lag == pytest.approx(20, abs=LOOK_SECONDS)
        gated.gates[b"held"].set()


@agent
async def waits(value: bytes) -> bytes:
    await asyncio.sleep(int(value) / 1000)
    return value


@agent
def computes(value: bytes) -> bytes:
    loop().burn(int(value) / 1000)
    return value


@agent
def computes_a_list(value: bytes) -> Iterator[bytes]:
    loop().burn(int(value) / 1000)
    yield value


@pytest.mark.parametrize("step", [waits, computes, computes_a_list], ids=lambda step: step.name)
@in_virtual_time
async def test_the_duration_of_each_attempt_is_counted_in_its_bucket(
    step: Agent[bytes, bytes],
) -> None:
    broker = await broker_for("p")
    await broker.write("p-in", *((b"k", value) for value in (b"1000", b"3", b"250", b"3")))
    stage = service(broker, one_stage(step))
    exported = Exported(broker, stage)
    await stage.run(until_end=True)
    assert exported.value("attempt_duration_seconds_count") == 4
    assert exported.value("attempt_duration_seconds_sum") == pytest.approx(1.256, abs=1e-4)
    buckets = ("0.002047", "0.004095", "0.131071", "0.262143", "0.524287", "1.048575", "+Inf")
    found = [exported.value("attempt_duration_seconds_bucket", le=le) for le in buckets]
    assert found == [0, 2, 2, 3, 3, 4, 4]


@in_virtual_time
async def test_every_attempt_has_a_duration_of_its_own_without_the_wait_between_them() -> None:
    broker = await broker_with("p-in", "p-out", "p.first.dlq", "p.second.dlq")
    left = {b"1": 2}

    @agent(name="first")
    async def fail_twice(value: bytes) -> bytes:
        await asyncio.sleep(0.1)
        if left[value]:
            left[value] -= 1
            raise OSError
        return value

    @agent(name="second")
    async def think(value: bytes) -> bytes:
        await asyncio.sleep(2)
        return value

    patient = retry(3, backoff=Backoff(base_seconds=10))
    pipeline = Pipeline("p", source=Topic("p-in", bytes)).stage(fail_twice, on_error=patient)
    stage = service(broker, build(pipeline.stage(think, fused=True).sink("p-out")))
    exported = Exported(broker, stage)
    await broker.write("p-in", (b"k", b"1"))
    await stage.run(until_end=True)
    for name, count, seconds in (("first", 3, 0.3), ("second", 1, 2.0)):
        assert exported.value("attempt_duration_seconds_count", name) == count
        total = exported.value("attempt_duration_seconds_sum", name)
        assert total == pytest.approx(seconds, abs=1e-4)


@in_virtual_time
async def test_an_attempt_that_runs_into_its_deadline_is_counted_with_its_duration() -> None:
    broker, gated = await broker_for("p"), Gated(b"held")
    stage = service(broker, one_stage(gated.agent(), timeout_seconds=3))
    exported = Exported(broker, stage)
    await broker.write("p-in", (b"k", b"held"))
    await stage.run(until_end=True)
    assert exported.value("attempt_duration_seconds_count") == 1
    assert exported.value("attempt_duration_seconds_sum") == pytest.approx(3.15, abs=0.16)


@pytest.mark.parametrize("step", [waits, computes, computes_a_list], ids=lambda step: step.name)
@in_virtual_time
async def test_the_age_of_a_record_is_taken_when_it_has_been_worked_on(
    step: Agent[bytes, bytes],
) -> None:
    broker = await broker_for("p")
    for age, value in ((60, b"4000"), (1, b"0"), (-5, b"0")):  # the last is ahead of our clock
        stamp = milliseconds_ago(broker, age)
        await broker.write("p-in", (value, value), timestamp=stamp)
    await broker.write("p-in", (b"none", b"0"), timestamp=-1)
    stage = service(broker, one_stage(step, ordering="partition"))
    exported = Exported(broker, stage)
    await stage.run(until_end=True)
    assert exported.value("record_age_seconds_count") == 3
    assert exported.value("record_age_seconds_sum") == pytest.approx(64 + 5, abs=0.02)
    buckets = ("4.095", "8.191", "32.767", "65.535")
    found = [exported.value("record_age_seconds_bucket", le=le) for le in buckets]
    assert found == [1, 2, 2, 3]


@in_virtual_time
async def test_records_of_one_timestamp_have_the_age_at_which_each_was_worked_on() -> None:
    broker = await broker_for("p")
    values = [(b"k", b"2"), (b"k", b"3"), (b"k", b"1")]
    await broker.write("p-in", *values, timestamp=milliseconds_ago(broker, 10))
    stage = service(broker, one_stage(computes))
    exported = Exported(broker, stage)
    await stage.run(until_end=True)
    total = exported.value("record_age_seconds_sum")
    # Each age is a whole number of milliseconds, at most one below what it is.
    assert total == pytest.approx(10.002 + 10.005 + 10.006 - 0.0015, abs=0.002)
