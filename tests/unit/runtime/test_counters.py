"""What each counter of a stage says after work whose numbers are known."""

import asyncio
from collections.abc import Iterator

import pytest

from streamapp.errors import Permanent, StageStoppedError
from streamapp.observability.occurrences import OccurrenceKind
from streamapp.observability.partition_metrics import Pause
from streamapp.observability.stage_metrics import StageMetrics, StageState
from streamapp.pipeline.agent import agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter, drop, retry, skip, stop
from streamapp.record import TopicPartition
from streamapp.runtime.config import RuntimeConfig
from streamapp.topics.topic import Topic
from tests.unit.runtime.agents import gated, same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, broker_with, in_virtual_time, one_stage, service


class DropItError(Exception):
    pass


class SkipItError(Exception):
    pass


BY_ERROR = dead_letter().on({DropItError: drop(), SkipItError: skip(), OSError: retry(2)})


@agent
async def obey(value: bytes) -> list[bytes] | None:
    """Do what the record says."""
    match value.split()[0]:
        case b"none":
            return None
        case b"two":
            return [value, value]
        case b"drop":
            raise DropItError
        case b"skip":
            raise SkipItError
        case b"permanent":
            raise Permanent
        case b"fail":
            raise ValueError
        case b"retry":
            raise OSError
        case b"hang":
            await asyncio.Event().wait()
        case b"many":
            return [value] * 4
    return [value]


COMMANDS = [
    *(b"one %d" % n for n in range(7)),
    *(b"two %d" % n for n in range(2)),
    *(b"none %d" % n for n in range(3)),
    *(b"drop %d" % n for n in range(4)),
    *(b"skip %d" % n for n in range(5)),
    *(b"permanent %d" % n for n in range(2)),
    *(b"fail %d" % n for n in range(3)),
    *(b"retry %d" % n for n in range(4)),
    b"hang",
    *(b"many %d" % n for n in range(6)),
]


@in_virtual_time
async def test_every_record_is_counted_once_and_by_how_it_ended() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", *((value, value) for value in COMMANDS))
    topology = one_stage(obey, BY_ERROR, timeout_seconds=1, max_outputs_per_record=3)
    stage = service(broker, topology)
    await stage.run(until_end=True)
    [metrics] = stage.metrics
    assert metrics.records_in == len(COMMANDS)
    assert metrics.bytes_in == sum(map(len, COMMANDS))
    assert {outcome.value: count for outcome, count in metrics.outcomes.items()} == {
        "processed": 9,
        "filtered": 3,
        "skipped": 5,
        "dropped": 4,
        "dead_lettered": 2 + 3 + 4 + 1 + 6,
        "retried_later": 0,
    }
    assert {reason.value: count for reason, count in metrics.dead_letters.items() if count} == {
        "permanent": 2,
        "failed": 3,
        "exhausted": 4,
        "timeout": 1,
        "output": 6,
    }
    assert metrics.records_out == {"p-out": 7 + 2 * 2 + 5, "p.stage.dlq": 16}
    assert len(broker.values("p-out")) == 16
    assert metrics.retries == 2 * 4 + 2  # that of time is an OSError, too
    assert metrics.timeouts == 3
    # Those that are tried again and those that hang, each attempt; and what is raised unsaid.
    assert metrics.blamed_attempts == 3 * 4 + 3 + (4 + 5 + 3)
    assert (metrics.in_flight_records, metrics.busy_lanes) == (0, 0)


@agent
def number(value: int) -> int | None:
    return value if value % 2 else None


@agent
def fail(value: int) -> int:
    raise ValueError(value)


@in_virtual_time
async def test_records_that_never_suspend_are_counted_alike() -> None:
    broker = await broker_with("in", "out", "p.number.dlq", "p.fail.dlq")
    values = [b"1", b"2", b"3", b"x", b"4", b"5", b"", b"7"]
    await broker.write("in", *((b"k", value) for value in values))
    stage = service(broker, build(Pipeline("p", source=Topic("in", int)).stage(number).sink("out")))
    await stage.run(until_end=True)
    [metrics] = stage.metrics
    assert (metrics.processed, metrics.filtered, metrics.dead_lettered) == (4, 2, 2)
    assert {reason.value: count for reason, count in metrics.dead_letters.items() if count} == {
        "decode": 2
    }
    assert metrics.records_out == {"out": 4, "p.number.dlq": 2}
    assert (metrics.records_in, metrics.bytes_in) == (8, 7)


@agent
def triple(value: int) -> Iterator[int]:
    yield from (value, value + 1, value + 2)


@in_virtual_time
async def test_a_fused_stage_counts_what_it_takes_and_what_becomes_of_that() -> None:
    broker = await broker_with("in", "out", "p.triple.dlq", "p.number.dlq", "p.fail.dlq")
    await broker.write("in", (b"k", b"1"), (b"k", b"2"))
    pipeline = Pipeline("p", source=Topic("in", int)).stage(triple).stage(number, fused=True)
    stage = service(broker, build(pipeline.stage(fail, fused=True, on_error=retry(0)).sink("out")))
    await stage.run(until_end=True)
    first, second, third = stage.metrics
    assert [m.records_in for m in stage.metrics] == [2, 6, 3]  # 1, 2, 3, 2, 3, 4: odd are three
    assert [m.bytes_in for m in stage.metrics] == [2, 0, 0]
    assert (first.processed, second.processed, second.filtered) == (2, 3, 3)
    assert (third.processed, third.dead_lettered) == (0, 3)
    assert sum(third.dead_letters.values()) == 3
    assert not any(first.dead_letters.values())
    assert third.records_out == {"out": 0, "p.fail.dlq": 3}


@in_virtual_time
async def test_a_fused_stage_that_gives_nothing_filters_and_the_one_before_it_does_not() -> None:
    broker = await broker_with("in", "p.double.dlq", "p.swallow.dlq")
    await broker.write("in", (b"k", b"1"), (b"k", b"2"))

    @agent
    def double(value: int) -> int:
        return 2 * value

    @agent
    def swallow(_value: int) -> None:
        return None

    pipeline: Pipeline[int, None] = (
        Pipeline("p", source=Topic("in", int)).stage(double).stage(swallow, fused=True)
    )
    stage = service(broker, build(pipeline))
    await stage.run(until_end=True)
    first, second = stage.metrics
    assert [m.records_in for m in stage.metrics] == [2, 2]
    assert (first.processed, first.filtered) == (2, 0)
    assert (second.processed, second.filtered) == (0, 2)
    assert sum(second.attempt_duration.counts) == 2


@in_virtual_time
async def test_outputs_and_dead_letters_are_counted_when_they_are_acknowledged() -> None:
    broker = await broker_with("in", "out", "side", "p.stage.dlq")
    gate = asyncio.Event()
    broker.held = {"p.stage.dlq": gate}

    @agent(name="stage")
    def route(value: bytes) -> Out[bytes]:
        if value == b"bad":
            raise Permanent
        return Out(value, to="side" if value == b"side" else None)

    pipeline = (
        Pipeline("p", source=Topic("in", bytes))
        .stage(route, routes={"side": Topic("side", bytes)})
        .sink("out")
    )
    stage = service(broker, build(pipeline))
    [metrics] = stage.metrics
    async with running(stage):
        await broker.write("in", (b"k", b"bad"), (b"k", b"side"), (b"k", b"side"), (b"k", b"1"))
        await until(lambda: broker.fired["held"] == 1)
        await asyncio.sleep(5)
        assert metrics.records_out == {"out": 0, "side": 0, "p.stage.dlq": 0}
        assert not any(metrics.dead_letters.values())
        assert metrics.dead_lettered == 1
        gate.set()
        await until(lambda: any(metrics.dead_letters.values()))
    assert metrics.records_out == {"out": 1, "side": 2, "p.stage.dlq": 1}


@in_virtual_time
async def test_records_that_are_delivered_again_are_counted_again() -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(same))
    [metrics] = stage.metrics
    async with running(stage):
        broker.fail_batches["p-out"] = 2
        await broker.write("p-in", (b"k", b"1"), (b"k", b"22"))
        await until(lambda: len(broker.values("p-out")) == 2)
    assert (metrics.records_in, metrics.bytes_in, metrics.processed) == (6, 9, 6)
    assert metrics.records_out["p-out"] == 2
    assert metrics.producer_replacements == 2
    failed = [one for one in metrics.occurrences.list() if one.kind is OccurrenceKind.BATCH_FAILED]
    assert sum(one.times for one in failed) == 2


@in_virtual_time
async def test_commits_and_their_failures_are_counted_and_the_last_success_is_timed() -> None:
    broker = await broker_for("p")
    config = RuntimeConfig(commit_interval_seconds=10)
    stage = service(broker, one_stage(same), config=config)
    [metrics] = stage.metrics
    async with running(stage):
        assert metrics.last_commit_at is None
        for total in (1, 2):
            await broker.write("p-in", (b"k", b"1"))
            await until(lambda total=total: metrics.commits == total, seconds=30)  # type: ignore[misc]  # bound now
            assert metrics.last_commit_at == pytest.approx(broker.clock.monotonic(), abs=0.01)
            partition = metrics.partitions[TopicPartition("p-in", 0)]
            assert (partition.committed_offset, partition.committed_at) == (
                total,
                metrics.last_commit_at,
            )
        last = metrics.last_commit_at
        broker.commits_refused = True
        await broker.write("p-in", (b"k", b"1"))
        await asyncio.sleep(35)
        assert (metrics.commits, metrics.commit_failures) == (2, 3)
        assert metrics.last_commit_at == last
        broker.commits_refused = False
    assert (metrics.commits, metrics.commit_failures) == (3, 3)
    assert await broker.committed("p.stage") == 3


@in_virtual_time
async def test_an_assignment_is_given_up_when_commits_have_failed_for_the_deadline() -> None:
    broker = await broker_for("p")
    config = RuntimeConfig(commit_interval_seconds=1, commit_deadline_seconds=60)
    stage = service(broker, one_stage(same), config=config)
    [metrics] = stage.metrics
    async with running(stage):
        await asyncio.sleep(100)
        broker.commits_refused = True
        await broker.write("p-in", (b"k", b"1"))
        await asyncio.sleep(59)
        assert (metrics.assignments_given_up, metrics.rebalances) == (0, 1)
        await asyncio.sleep(4)
        assert (metrics.assignments_given_up, metrics.rebalances) == (1, 2)
        broker.commits_refused = False


@in_virtual_time
async def test_each_assignment_is_counted_and_ends_the_time_outside_the_group() -> None:
    broker = await broker_for("p", partitions=2)
    first, second = service(broker, one_stage(same)), service(broker, one_stage(same))
    metrics = first.metrics[0]
    async with running(first):
        await until(lambda: len(metrics.partitions) == 2)
        assert metrics.rebalances == 1
        async with running(second):
            await until(lambda: len(second.metrics[0].partitions) == 1)
            await until(lambda: len(metrics.partitions) == 1)
            assert (metrics.rebalances, second.metrics[0].rebalances) == (2, 1)
            assert metrics.cut_off_since is None
        await until(lambda: len(metrics.partitions) == 2)
        assert metrics.rebalances == 3
    assert not metrics.partitions


@in_virtual_time
async def test_a_stage_is_cut_off_from_the_moment_its_partitions_are_revoked() -> None:
    broker, started = await broker_for("p", partitions=2), asyncio.Event()

    @agent
    async def slow(value: bytes) -> bytes:
        started.set()
        await asyncio.sleep(0.5)
        return value

    first, second = service(broker, one_stage(slow)), service(broker, one_stage(slow))
    metrics = first.metrics[0]
    async with running(first):
        await broker.write("p-in", (b"k", b"1"))
        await started.wait()
        assert metrics.cut_off_since is None
        async with running(second):
            await until(lambda: metrics.cut_off_since is not None)
            assert metrics.cut_off_since == pytest.approx(broker.clock.monotonic(), abs=0.01)
            began_at = metrics.cut_off_since
            await asyncio.sleep(0.25)
            assert metrics.cut_off_since == began_at
            await until(lambda: metrics.rebalances == 2)
            assert metrics.cut_off_since is None
    assert broker.values("p-out") == [b"1"]


@pytest.mark.parametrize(("waiting", "busy"), [(3, 3), (9, 4)])
@in_virtual_time
async def test_busy_lanes_are_the_attempts_that_run(waiting: int, busy: int) -> None:
    broker, gate = await broker_for("p"), asyncio.Event()

    stage = service(broker, one_stage(gated(gate), concurrency=4))
    [metrics] = stage.metrics
    async with running(stage):
        await broker.write("p-in", *((b"%d" % n, b"%d" % n) for n in range(waiting)))
        await until(lambda: metrics.in_flight_records == waiting)
        assert metrics.busy_lanes == busy
        gate.set()
        await until(lambda: metrics.processed == waiting)
        await until(lambda: metrics.in_flight_records == 0)
        assert metrics.busy_lanes == 0


@in_virtual_time
async def test_a_partition_is_blocked_while_too_much_is_finished_behind_its_first_record() -> None:
    broker, gate = await broker_for("p"), asyncio.Event()

    @agent
    async def hold_the_first(value: bytes) -> bytes:
        if value == b"0":
            await gate.wait()
        return value

    stage = service(broker, one_stage(hold_the_first, max_in_flight_records=4, concurrency=2))
    [metrics] = stage.metrics
    name = TopicPartition("p-in", 0)
    async with running(stage):
        await until(lambda: name in metrics.partitions)
        await broker.write("p-in", *((b"%d" % n, b"%d" % n) for n in range(100)))
        await until(lambda: metrics.partitions[name].blocked)
        taken = metrics.records_in
        await asyncio.sleep(5)
        assert metrics.partitions[name].pause is Pause.BEHIND_ONE
        assert 8 * 4 <= metrics.records_in == taken < 9 * 4
        gate.set()
        await until(lambda: metrics.processed == 100)
        await until(lambda: not metrics.partitions[name].blocked)


@in_virtual_time
async def test_the_state_of_a_stage_follows_its_life() -> None:
    broker, gate = await broker_for("p"), asyncio.Event()

    stage = service(broker, one_stage(gated(gate)))
    [metrics] = stage.metrics
    assert state(metrics) is StageState.STARTING
    async with running(stage) as task:
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: metrics.in_flight_records == 1)
        assert state(metrics) is StageState.RUNNING
        stage.stop()
        await asyncio.sleep(1)
        assert state(metrics) is StageState.DRAINING
        gate.set()
        await task
    assert state(metrics) is StageState.STOPPED


@pytest.mark.parametrize("fused", [False, True])
@in_virtual_time
async def test_a_stage_whose_policy_said_stop_has_failed(*, fused: bool) -> None:
    broker = await broker_with("in", "p.number", "out", "p.number.dlq", "p.fail.dlq")
    await broker.write("in", (b"k", b"1"))
    pipeline = Pipeline("p", source=Topic("in", int)).stage(number)
    stage = service(broker, build(pipeline.stage(fail, on_error=stop(), fused=fused).sink("out")))
    with pytest.raises(StageStoppedError):
        await stage.run()
    ends = [StageState.FAILED] * 2 if fused else [StageState.STOPPED, StageState.FAILED]
    assert [state(metrics) for metrics in stage.metrics] == ends


def state(metrics: StageMetrics) -> StageState:
    """Read anew: a checker would remember what was asserted before."""
    return metrics.state
