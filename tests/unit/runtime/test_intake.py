"""What the intake takes, when it looks again, and what it does when fetching fails."""

import asyncio
from collections.abc import Collection
from itertools import pairwise
from typing import Any

import pytest

from streamapp.brokers.fetched import FetchedList
from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.protocols import CommittedOffset, ConsumerConfig
from streamapp.errors import BrokerError, OffsetOutOfRangeError, UnreadableRecordError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.stage import LostPosition
from streamapp.record import TopicPartition
from streamapp.runtime.config import RuntimeConfig
from tests.unit.runtime.agents import gated, same
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed
from tests.unit.runtime.test_faults import Listening
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

PLACE = TopicPartition("p-in", 0)


@in_virtual_time
async def test_a_fetch_that_fails_is_tried_again_each_second_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    broker.fetch_errors = [BrokerError("no records for now")] * 5
    async with running(service(broker, one_stage(same))):
        await until(lambda: broker.values("p-out") == [b"1"])
        assert loop().time() == pytest.approx(5, abs=0.1)
    told = [r.getMessage() for r in caplog.records if "fetching failed" in r.getMessage()]
    assert told == ["fetching failed, trying again: no records for now"] * 5


@in_virtual_time
async def test_a_record_that_cannot_be_read_ends_the_stage() -> None:
    broker = await broker_for("p")
    broker.fetch_errors = [UnreadableRecordError("broken", partition=PLACE, offset=7)]
    with pytest.raises(UnreadableRecordError, match="broken"):
        await service(broker, one_stage(same)).run()


@in_virtual_time
async def test_work_begins_when_partitions_are_assigned_and_not_with_the_next_poll() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    broker.assign_seconds = 0.1
    async with running(service(broker, one_stage(same))):
        await until(lambda: broker.values("p-out") == [b"1"])
        assert loop().time() == pytest.approx(0.1, abs=0.02)


@in_virtual_time
async def test_a_full_stage_takes_more_when_records_finish_and_not_with_the_next_poll() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", *((b"k", b"%d" % n) for n in range(40)))

    @agent
    async def quick(value: bytes) -> bytes:
        await asyncio.sleep(0.01)
        return value

    config = RuntimeConfig(linger_seconds=0.001)
    topology = one_stage(quick, concurrency=1, max_in_flight_records=1)
    async with running(service(broker, topology, config=config)):
        await until(lambda: len(broker.values("p-out")) == 40)
        assert loop().time() < 1


@in_virtual_time
async def test_a_stage_that_drains_goes_on_polling_four_times_a_second() -> None:
    broker, started = await broker_for("p"), asyncio.Event()

    @agent
    async def slow(value: bytes) -> bytes:
        started.set()
        await asyncio.sleep(8)
        return value

    stage = service(broker, one_stage(slow))
    async with running(stage):
        await broker.write("p-in", (b"k", b"1"))
        await started.wait()
        broker.fetched_at.clear()
    waits = [after - before for before, after in pairwise(broker.fetched_at)]
    assert waits == pytest.approx([0.25] * len(waits), abs=0.01)
    assert len(waits) == pytest.approx(32, abs=2)


@in_virtual_time
async def test_a_consumer_that_joins_anew_is_left_alone_until_it_has_joined() -> None:
    broker = await broker_for("p")
    config = RuntimeConfig(commit_deadline_seconds=3)
    stage = service(broker, one_stage(same), config=config)
    async with running(stage):
        await until(lambda: stage.metrics[0].rebalances == 1)
        broker.starts_refused = broker.commits_refused = True
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: len(broker.started_at) == 2)
        await asyncio.sleep(1)
        broker.fetched_at.clear()
        await asyncio.sleep(20)
        assert broker.fetched_at == []
        broker.starts_refused = broker.commits_refused = False
        await until(lambda: stage.metrics[0].rebalances == 2, seconds=30)
        await until(lambda: len(broker.fetched_at) > 4)


async def a_fetch_begins(broker: FaultyBroker) -> None:
    many = len(broker.fetched_at)
    await until(lambda: len(broker.fetched_at) > many)


@in_virtual_time
async def test_records_that_come_before_their_partition_is_open_are_not_lost() -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(same))
    other = broker.consumer(ConsumerConfig("p.stage", ("p-in",)), Listening())
    async with running(stage):
        await until(lambda: stage.metrics[0].rebalances == 1)
        broker.assign_seconds = 0.15
        await a_fetch_begins(broker)
        await other.start()
        await asyncio.sleep(0.05)
        await broker.write("p-in", (b"k", b"1"))
        await asyncio.sleep(0.05)
        await broker.write("p-in", (b"k", b"2"))
        await until(lambda: broker.values("p-out") == [b"1", b"2"])
        assert stage.metrics[0].rebalances == 2
        await other.stop()


@in_virtual_time
async def test_records_that_come_while_partitions_are_given_back_let_none_be_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a real client returns them whose fetch was under way when the rebalance began."""
    broker, hangs = await broker_for("p"), [True]

    @agent
    async def hang_once(value: bytes) -> bytes:
        if value == b"1" and hangs:
            hangs.pop()
            await asyncio.Event().wait()
        return value

    config = RuntimeConfig(revoke_drain_seconds=1)
    stage = service(broker, one_stage(hang_once), config=config)
    [metrics] = stage.metrics
    late = list[int]()
    other = broker.consumer(ConsumerConfig("p.stage", ("p-in",)), Listening())
    async with running(stage):
        await broker.write("p-in", (b"a", b"1"))
        await until(lambda: not hangs)
        consumer = stage._running[0]._runner._consumer
        fetched = consumer.fetch

        async def fetch(names: Collection[TopicPartition], **options: Any) -> Any:
            found = await fetched(names, **options)
            if found or not names or metrics.cut_off_since is None:
                return found
            await broker.write("p-in", (b"b", b"2"))
            second = broker.records("p-in")[-1]
            late.append(second.offset)
            return {PLACE: FetchedList([second])}

        monkeypatch.setattr(consumer, "fetch", fetch)
        await a_fetch_begins(broker)
        await other.start()
        await until(lambda: len(broker.values("p-out")) == 2, seconds=30)
        await other.stop()
    assert late == [1]
    assert sorted(value or b"" for value in broker.values("p-out")) == [b"1", b"2"]


@in_virtual_time
async def test_records_that_come_while_a_replay_waits_for_its_producer_are_not_lost() -> None:
    broker = await broker_for("p", partitions=2)
    stage = service(broker, one_stage(same))
    async with running(stage):
        await until(lambda: stage.metrics[0].rebalances == 1)
        broker.fail_batches["p-out"] = 1
        broker.producers_refused = True
        await broker.write("p-in", (b"a", b"1"))
        await until(lambda: broker.fired["start"] > 0)
        await broker.write("p-in", (b"b", b"2"), partition=1)  # a fetch is still under way
        await asyncio.sleep(3)
        broker.producers_refused = False
        await until(
            lambda: sorted(broker.values("p-out") + broker.values("p-out", 1)) == [b"1", b"2"],  # type: ignore[type-var]  # no value is None
            seconds=30,
        )


@in_virtual_time
async def test_the_bound_of_records_counts_those_that_are_fetched_while_half_of_it_is_free() -> (
    None
):
    broker, gate = await broker_for("p"), asyncio.Event()

    stage = service(broker, one_stage(gated(gate), max_in_flight_records=12))
    [metrics] = stage.metrics
    async with running(stage):
        for written, taken in [(6, 6), (9, 12), (3, 12)]:
            await broker.write("p-in", *((None, b"x") for _ in range(written)))
            await asyncio.sleep(1)
            assert metrics.in_flight_records == metrics.records_in == taken
        gate.set()
        await until(lambda: metrics.processed == 18)


@in_virtual_time
async def test_a_stage_that_holds_more_than_half_of_its_bound_fetches_nothing() -> None:
    broker, gate = await broker_for("p"), asyncio.Event()

    stage = service(broker, one_stage(gated(gate), max_in_flight_records=12))
    [metrics] = stage.metrics
    async with running(stage):
        for written, taken in [(7, 7), (5, 7)]:
            await broker.write("p-in", *((None, b"x") for _ in range(written)))
            await asyncio.sleep(1)
            assert metrics.records_in == taken
        gate.set()
        await until(lambda: metrics.processed == 12)


@in_virtual_time
async def test_fetched_bytes_that_records_in_flight_keep_are_counted_until_they_are_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FetchedList, "kept_bytes", 1000)  # as native leaves keep them
    broker, gate = await broker_for("p"), asyncio.Event()

    stage = service(broker, one_stage(gated(gate), max_in_flight_bytes=1500))
    [metrics] = stage.metrics
    async with running(stage):
        for taken in (1, 2, 2):
            await broker.write("p-in", (None, b"x"))
            await asyncio.sleep(1)
            assert metrics.records_in == taken
        assert metrics.in_flight_bytes == 2000
        gate.set()
        await until(lambda: metrics.processed == 3)


@pytest.mark.parametrize(("partitions", "taken"), [(1, 34), (2, 16), (4, 10)])
@in_virtual_time
async def test_what_is_held_behind_an_unfinished_record_is_bounded_for_all_partitions_together(
    partitions: int, taken: int
) -> None:
    broker = await broker_for("p", partitions=partitions)

    @agent
    async def wait_on_the_first(value: bytes) -> bytes:
        if value == b"first":
            await asyncio.Event().wait()
        return value

    topology = one_stage(wait_on_the_first, max_in_flight_records=4, timeout_seconds=3600)
    stage = service(broker, topology, config=RuntimeConfig(shutdown_drain_seconds=1))
    async with running(stage):
        await until(lambda: len(stage.metrics[0].partitions) == partitions)
        await broker.write("p-in", (b"k", b"first"), *((None, b"x") for _ in range(50)))
        await asyncio.sleep(20)
        # 4, and then 3 at a time, until 32, 16 or 8 offsets are held at least.
        assert stage.metrics[0].records_in == taken


def refuse_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first question for the ends of topics fail: partitions are open before the next."""
    answered, asked = MemoryAdmin.end_offsets, 0

    async def end_offsets(admin: MemoryAdmin, names: Collection[TopicPartition]) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise BrokerError("no offsets for now")
        return await answered(admin, names)

    monkeypatch.setattr(MemoryAdmin, "end_offsets", end_offsets)


@pytest.mark.parametrize("meanwhile", ["nothing", "a replay", "a rebalance", "a late end"])
@in_virtual_time
async def test_bounded_work_takes_nothing_past_its_end_whatever_happens_meanwhile(
    meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, calls = await broker_for("p"), list[bytes]()

    @agent
    async def slow(value: bytes) -> bytes:
        calls.append(value)
        await asyncio.sleep(2)
        return value

    await broker.write("p-in", *((b"k", b"%d" % n) for n in range(3)))
    stage = service(broker, one_stage(slow, max_in_flight_records=4))
    other = broker.consumer(ConsumerConfig("p.stage", ("p-in",)), Listening())
    if meanwhile == "a late end":
        refuse_once(monkeypatch)
    task = asyncio.create_task(stage.run(until_end=True))
    await asyncio.sleep(1.5)
    assert calls == [b"0"]
    await broker.write("p-in", (b"k", b"past"), (b"k", b"past"))
    if meanwhile == "a replay":
        broker.fail_batches["p-out"] = 1
    if meanwhile == "a rebalance":
        await other.start()
    async with asyncio.timeout(60):
        await task
    await other.stop()
    assert b"past" not in calls
    assert broker.values("p-out") == [b"0", b"1", b"2"]
    assert await broker.committed("p.stage") == 3


@pytest.mark.parametrize("values", [(), (b"1", b"2")])
@in_virtual_time
async def test_a_gap_at_the_end_is_passed_over_with_the_first_fetches_that_find_nothing(
    values: tuple[bytes, ...],
) -> None:
    broker = await broker_for("p")
    await broker.write("p-in", *((b"k", value) for value in values))
    broker.leave_gap("p-in", 3)
    config = RuntimeConfig(commit_interval_seconds=0.05)
    await service(broker, one_stage(same), config=config).run(until_end=True)
    assert broker.values("p-out") == [*values]
    assert await broker.committed("p.stage") == len(values) + 3
    assert loop().time() < 0.9


@in_virtual_time
async def test_a_gap_is_not_passed_over_while_records_before_it_are_in_flight() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    broker.leave_gap("p-in", 3)

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(5)
        return value

    async with running(service(broker, one_stage(slow))):
        await asyncio.sleep(4)
        assert await broker.committed("p.stage") == 0
        await until_committed(broker, "p.stage", 4)
    assert broker.values("p-out") == [b"1"]


@pytest.mark.parametrize(
    ("policy", "came", "passed_over", "told"),
    [
        (LostPosition.EARLIEST, [b"6", b"7"], 3, "its beginning, 6, as on_lost_position says"),
        (LostPosition.LATEST, [], 5, "its end, 8, as on_lost_position says"),
    ],
)
@in_virtual_time
async def test_a_lost_position_is_found_again_as_the_stage_says_and_told(
    policy: LostPosition,
    came: list[bytes],
    passed_over: int,
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_whose_first_records_are_gone()
    stage = service(broker, one_stage(same, on_lost_position=policy))
    [metrics] = stage.metrics
    async with running(stage):
        await until(lambda: metrics.position_resets == 1)
        await broker.write("p-in", (b"k", b"8"))
        await until(lambda: broker.values("p-out") == [*came, b"8"])
    assert (metrics.position_resets, metrics.passed_over_offsets) == (1, passed_over)
    [line] = [line for line in caplog.messages if "is no longer in the log" in line]
    assert "stage stage of p: offset 3 of p-in[0]" in line
    assert told in line
    assert f"and {passed_over} offsets are skipped" in line


@in_virtual_time
async def test_a_lost_position_ends_a_stage_that_is_to_stop_then() -> None:
    broker = await broker_whose_first_records_are_gone()
    with pytest.raises(OffsetOutOfRangeError):
        await service(broker, one_stage(same, on_lost_position="stop")).run()
    assert broker.values("p-out") == []


@in_virtual_time
async def test_a_lost_position_is_looked_for_each_second_until_the_broker_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_whose_first_records_are_gone()
    broker.ends_refused = True
    stage = service(broker, one_stage(same, on_lost_position="latest"))
    async with running(stage):
        await asyncio.sleep(4.5)
        broker.ends_refused = False
        await until(lambda: stage.metrics[0].position_resets == 1)
        assert loop().time() == pytest.approx(5, abs=0.05)
    lines = [line for line in caplog.messages if "of a lost position could not be read" in line]
    assert len(lines) == 5


async def broker_whose_first_records_are_gone() -> FaultyBroker:
    """One whose group has committed 3, and whose log holds 6 and 7."""
    broker = await broker_for("p")
    await broker.write("p-in", *((b"k", b"%d" % n) for n in range(8)))
    await broker.admin().set_offsets("p.stage", {PLACE: CommittedOffset(3)})
    await broker.admin().delete_records({PLACE: 6})
    return broker
