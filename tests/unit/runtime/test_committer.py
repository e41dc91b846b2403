"""When an assignment is given up for commits that fail, and when it is not."""

import asyncio
from collections.abc import Callable

import pytest

from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.brokers.protocols import ConsumerConfig
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.committer import Committer
from streamapp.runtime.config import RuntimeConfig
from tests.hand_clock import HandClock
from tests.unit.runtime import virtual
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed
from tests.unit.runtime.test_faults import Listening, broker_for
from tests.unit.runtime.virtual import in_virtual_time, loop, one_stage, service

PLACE = TopicPartition("a-in", 0)
DEADLINE_SECONDS = 10
CONFIG = RuntimeConfig(commit_interval_seconds=1, commit_deadline_seconds=DEADLINE_SECONDS)


class TickingClock(HandClock):
    """Sleeps at once, and counts that."""

    sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        self.advance(seconds)
        await asyncio.sleep(0)


async def member() -> tuple[FaultyBroker, MemoryConsumer]:
    broker = await broker_for("a")
    await broker.write("a-in", (b"k", b"1"))
    consumer = broker.consumer(ConsumerConfig("g", ("a-in",)), Listening())
    await consumer.start()
    await until(lambda: consumer.assignment() == {PLACE})
    return broker, consumer


def uncommitted(consumer: MemoryConsumer) -> Assignment:
    """With something to commit."""
    assignment = Assignment(consumer, StageMetrics("a", "stage", "a-in"))
    assignment.open([PLACE], {})
    assignment.partitions[PLACE].frontier.admit([0])
    return assignment


async def run_until(committer: Committer, condition: Callable[[], bool]) -> None:
    running = asyncio.create_task(committer.run())
    await until(condition)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_commit_that_failed_before_partitions_were_given_back_ends_no_membership() -> None:
    broker, consumer = await member()
    assignment, clock, lost = uncommitted(consumer), TickingClock(), list[int]()
    committer = Committer(assignment, clock, CONFIG, on_lost=lambda: lost.append(clock.sleeps))
    broker.commits_refused = True
    assert not await committer.commit()

    assignment.close()
    await run_until(committer, lambda: clock.sleeps > 2 * DEADLINE_SECONDS)
    await consumer.stop()

    assert broker.fired["commit"] == 1
    assert lost == []


async def test_commits_that_keep_failing_give_the_assignment_up() -> None:
    broker, consumer = await member()
    clock, lost = TickingClock(), list[int]()
    committer = Committer(
        uncommitted(consumer), clock, CONFIG, on_lost=lambda: lost.append(clock.sleeps)
    )
    broker.commits_refused = True
    await run_until(committer, lambda: bool(lost))
    await consumer.stop()

    assert lost[0] == DEADLINE_SECONDS + 1


async def test_a_replay_in_between_does_not_put_the_deadline_off() -> None:
    broker, consumer = await member()
    assignment, clock, lost = uncommitted(consumer), TickingClock(), list[int]()
    committer = Committer(assignment, clock, CONFIG, on_lost=lambda: lost.append(clock.sleeps))
    broker.commits_refused = True
    assert not await committer.commit()
    assignment.suspend()
    await run_until(committer, lambda: bool(lost))
    await consumer.stop()

    assert lost[0] == DEADLINE_SECONDS, "counted from the first commit that failed"


async def test_what_is_finished_is_committed_while_a_replay_lasts() -> None:
    _, consumer = await member()
    assignment = uncommitted(consumer)
    positions = {name: p.frontier.offset for name, p in assignment.partitions.items()}
    assignment.suspend()
    committer = Committer(assignment, TickingClock(), CONFIG, on_lost=lambda: None)

    assert await committer.commit()

    stored = {name: p.committed and p.committed.offset for name, p in assignment.partitions.items()}
    assert stored == positions
    await consumer.stop()


async def test_a_partition_is_read_on_only_while_a_commit_can_hold_what_is_finished_ahead() -> None:
    _, consumer = await member()
    assignment = uncommitted(consumer)
    committer = Committer(assignment, TickingClock(), CONFIG, on_lost=lambda: None)
    [partition] = assignment.partitions.values()
    offsets = range(1, 100_000)
    partition.frontier.admit(offsets)
    partition.frontier.finish(offsets[1::2])
    await committer.commit()
    was_full = partition.metadata_full

    partition.frontier.finish([0, *offsets[::2]])
    await committer.commit()
    assert (was_full, partition.metadata_full) == (True, False)
    await consumer.stop()


async def test_commits_that_go_on_failing_are_reported_once_for_each_deadline() -> None:
    broker, consumer = await member()
    clock, lost = TickingClock(), list[int]()
    committer = Committer(
        uncommitted(consumer), clock, CONFIG, on_lost=lambda: lost.append(clock.sleeps)
    )
    broker.commits_refused = True
    await run_until(committer, lambda: len(lost) > 1)
    await consumer.stop()

    assert lost[:2] == [DEADLINE_SECONDS + 1, 2 * (DEADLINE_SECONDS + 1)]


@pytest.mark.parametrize("ended_by", ["a commit", "a revocation"])
async def test_a_failure_counts_no_more_after_a_commit_or_a_revocation(ended_by: str) -> None:
    broker, consumer = await member()
    assignment, clock, lost = uncommitted(consumer), TickingClock(), list[int]()
    committer = Committer(assignment, clock, CONFIG, on_lost=lambda: lost.append(clock.sleeps))
    broker.commits_refused = True
    assert not await committer.commit()
    if ended_by == "a commit":
        broker.commits_refused = False
    else:
        assignment.close()
    assert await committer.commit(), "nothing is left to commit"

    clock.advance(DEADLINE_SECONDS)
    assignment.open([PLACE], {})
    assignment.partitions[PLACE].frontier.admit([0])
    assignment.partitions[PLACE].frontier.finish([0])
    broker.commits_refused = True
    await run_until(committer, lambda: bool(lost))
    await consumer.stop()

    assert lost[0] == DEADLINE_SECONDS + 1


@in_virtual_time
async def test_a_commit_that_is_not_answered_has_failed_after_five_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, consumer = await member()
    assignment = uncommitted(consumer)
    broker.commits_unanswered = True
    committer = Committer(assignment, TickingClock(), CONFIG, on_lost=lambda: None)
    begun_at = loop().time()

    assert not await committer.commit()

    assert loop().time() - begun_at == pytest.approx(5)
    assert assignment.metrics.commit_failures == 1
    assert any("stage stage of a: a commit failed" in text for text in caplog.messages)


@in_virtual_time
async def test_so_many_finished_records_are_committed_at_once_and_fewer_wait_for_the_interval() -> (
    None
):
    broker = await virtual.broker_for("p")
    config = RuntimeConfig(commit_interval_seconds=600, commit_records=10)
    async with running(service(broker, one_stage(same), config=config)):
        for committed in (10, 20):
            await broker.write("p-in", *[(b"k", b"1")] * 9)
            await asyncio.sleep(60)
            assert await broker.committed("p.stage") == committed - 10
            await broker.write("p-in", (b"k", b"1"))
            await until_committed(broker, "p.stage", committed)


@in_virtual_time
async def test_nothing_is_committed_while_nothing_moves() -> None:
    broker = await virtual.broker_for("p")
    stage = service(broker, one_stage(same))
    async with running(stage):
        await broker.write("p-in", (b"k", b"1"))
        await until_committed(broker, "p.stage", 1)
        await asyncio.sleep(60)
    assert stage.metrics[0].commits == 1


@in_virtual_time
async def test_nothing_waits_for_the_next_commit_when_a_service_has_ended() -> None:
    broker = await virtual.broker_for("p")
    config = RuntimeConfig(commit_interval_seconds=3600, commit_records=1)
    async with running(service(broker, one_stage(same), config=config)):
        await broker.write("p-in", (b"k", b"1"))
        await until_committed(broker, "p.stage", 1)
    await asyncio.sleep(1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
