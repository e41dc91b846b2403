"""When an assignment is given up for commits that fail, and when it is not."""

import asyncio
from collections.abc import Callable

from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.brokers.protocols import ConsumerConfig
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.committer import Committer
from streamapp.runtime.config import RuntimeConfig
from tests.hand_clock import HandClock
from tests.unit.runtime.faults import FaultyBroker, until
from tests.unit.runtime.test_faults import Listening, broker_for

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
