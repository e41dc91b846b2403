"""Faults in the middle of work on the memory broker: nothing lost, repeated, stuck or leaked."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from streamapp.brokers.fetched import FetchedList
from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.protocols import ConsumerConfig
from streamapp.clock import SystemClock
from streamapp.errors import BrokerError, StageStoppedError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import StageConfig
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, retry, stop
from streamapp.record import StoredRecord, TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.commit_metadata import marked
from streamapp.runtime.committer import Committer
from streamapp.runtime.config import RuntimeConfig
from streamapp.runtime.intake import Intake
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.refusals import Refusals
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.patience import within
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed


def topology(
    name: str, step: Agent[Any, Any] = same, policy: Policy | None = None, **settings: Any
) -> Topology:
    """One stage between the topics `<name>-in` and `<name>-out`."""
    return build(
        Pipeline(name, source=Topic(f"{name}-in", bytes))
        .stage(step, name="stage", on_error=policy or dead_letter(), **settings)
        .sink(Topic(f"{name}-out", bytes))
    )


async def broker_for(*names: str, **config: str) -> FaultyBroker:
    broker = FaultyBroker()
    for name in names:
        await broker.create(f"{name}-in", f"{name}-out", f"{name}.stage.dlq", **config)
    return broker


async def test_a_stage_that_waits_for_its_agents_sits_out_the_next_loss_of_the_producer() -> None:
    broker = await broker_for("a", "b")
    gate, release, calls = asyncio.Event(), asyncio.Event(), 0

    @agent
    async def slow_to_leave(value: bytes) -> bytes:
        nonlocal calls
        calls += 1
        try:
            await gate.wait()
        finally:
            while not release.is_set():
                with suppress(asyncio.CancelledError):
                    await release.wait()
        return value

    service = Service(broker, [topology("a"), topology("b", slow_to_leave)])
    async with running(service) as task:
        await broker.write("b-in", (b"k", b"b"))
        await until(lambda: calls == 1)
        broker.fail_batches["a-out"] = 1
        await broker.write("a-in", (b"k", b"a"))
        await until(lambda: broker.values("a-out") == [b"a"])  # a is back, b still waits
        broker.fail_batches["a-out"] = 1
        broker.producers_refused = True
        await broker.write("a-in", (b"k", b"a2"))
        await until(lambda: broker.fired["start"] > 0)
        gate.set()
        release.set()
        await asyncio.sleep(0.3)  # whatever it would do without a producer, it does now
        assert not task.done(), task
        broker.producers_refused = False
        await until(lambda: broker.values("b-out") == [b"b"])
        await until(lambda: broker.values("a-out") == [b"a", b"a2"])
    assert broker.fired["a-out"] == 2


async def test_what_was_finished_before_a_replay_and_not_committed_is_committed_after_it() -> None:
    broker = await broker_for("a")
    await broker.write("a-in", (b"k", b"1"), (b"k", b"2"))
    name = TopicPartition("a-in", 0)
    metrics = StageMetrics("a", "stage", "a-in")
    consumer = broker.consumer(ConsumerConfig("g", ("a-in",)), Listening())
    await consumer.start()
    await until(lambda: consumer.assignment() == {name})
    assignment = Assignment(consumer, metrics)
    committer = Committer(assignment, SystemClock(), RuntimeConfig(), on_lost=lambda: None)
    assignment.open([name], {})
    assignment.partitions[name].frontier.admit([0, 1])
    assignment.partitions[name].frontier.finish([0, 1])

    assignment.suspend()
    assignment.resume({})
    await committer.commit()

    assert await broker.admin().committed_offsets("g") == {name: marked(2)}
    await consumer.stop()


class Listening:
    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        pass

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        pass


async def test_batches_are_no_larger_than_their_topic_takes() -> None:
    broker = await broker_for("a", max_message_bytes="2000")
    values = [b"%d" % n * 30 for n in range(100, 300)]
    for start in range(0, len(values), 10):
        await broker.write("a-in", *((b"k", value) for value in values[start : start + 10]))

    async with running(Service(broker, [topology("a")])):
        await until(lambda: len(broker.values("a-out")) >= len(values))

    assert broker.values("a-out") == values


async def test_timestamps_of_finished_chunks_are_forgotten() -> None:
    broker = await broker_for("a")
    name = TopicPartition("a-in", 0)
    partition = Partition(name)
    consumer = broker.consumer(ConsumerConfig("g", ("a-in",)), Listening())
    assignment = Assignment(consumer, StageMetrics("a", "stage", "a-in"))
    assignment.partitions[name] = partition
    intake = Intake(
        assignment, StageConfig(), SystemClock(), ReadyQueue(), Refusals((), SystemClock(), "g")
    )

    for offset in range(1000):
        intake._admit(name, FetchedList([StoredRecord(offset, 0, None, b"")]))
        partition.frontier.finish([offset])

    assert len(partition.stamps) <= 2


async def test_an_agent_that_swallows_its_cancellation_does_not_keep_the_service_from_ending() -> (
    None
):
    broker = await broker_for("a")
    started = asyncio.Event()

    @agent
    async def deaf(value: bytes) -> bytes:
        started.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return value

    config = RuntimeConfig(shutdown_drain_seconds=0.05)
    async with running(Service(broker, [topology("a", deaf)], config=config)):
        await broker.write("a-in", (b"k", b"1"))
        await started.wait()

    assert await broker.committed("a.stage") == 0


async def test_an_admin_call_that_fails_does_not_break_off_a_run_until_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = await broker_for("a")
    await broker.write("a-in", (b"k", b"1"))
    committed_offsets, calls = MemoryAdmin.committed_offsets, 0

    async def fail_once(admin: MemoryAdmin, group: str) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:  # two are asked before anything starts
            raise BrokerError("the coordinator moved")
        return await committed_offsets(admin, group)

    monkeypatch.setattr(MemoryAdmin, "committed_offsets", fail_once)
    async with within(10, "the end of bounded work"):
        await Service(broker, [topology("a")]).run(until_end=True)

    assert calls > 3
    assert broker.values("a-out") == [b"1"]
    assert await broker.committed("a.stage") == 1


async def test_a_batch_that_always_fails_is_tried_at_a_bounded_rate() -> None:
    broker = await broker_for("a")
    broker.fail_batches["a-out"] = 1_000_000

    async with running(Service(broker, [topology("a")])):
        await broker.write("a-in", (b"k", b"1"))
        await until(lambda: broker.fired["a-out"] >= 2)
        await asyncio.sleep(0.5)  # a loop without a pause goes round hundreds of times
        assert broker.fired["a-out"] < 20
        broker.fail_batches.clear()
        await until(lambda: broker.values("a-out") == [b"1"])


async def test_what_overtook_others_is_not_worked_on_again_after_a_drain() -> None:
    broker = await broker_for("a")
    gate = asyncio.Event()
    seen: list[bytes] = []

    @agent
    async def gated(value: bytes) -> bytes:
        seen.append(value)
        if value.startswith(b"slow"):
            await gate.wait()
        return value

    pairs = [(b"slow", b"slow1"), (b"slow", b"slow2")] + [(b"%d" % n, b"fast") for n in range(20)]
    async with running(Service(broker, [topology("a", gated, concurrency=4)])) as task:
        await broker.write("a-in", *pairs)
        await until(lambda: len(broker.values("a-out")) == 20)
        assert b"slow2" not in seen, "it has to wait behind the first"
        asyncio.get_running_loop().call_later(0.1, gate.set)
        assert not task.done()

    assert await broker.committed("a.stage") == 1, "the second of the slow key was not started"
    async with running(Service(broker, [topology("a", gated, concurrency=4)])):
        await until_committed(broker, "a.stage", len(pairs))
    assert len(broker.values("a-out")) == len(pairs)
    assert seen.count(b"fast") == 20


async def test_a_tombstone_without_a_key_becomes_a_dead_letter() -> None:
    broker = await broker_for("a")
    await broker.write("a-in", (None, None), (b"k", b"1"))

    async with running(Service(broker, [topology("a")])):
        await until(lambda: broker.values("a-out") == [b"1"])
        await until(lambda: broker.values("a.stage.dlq") == [None])

    (letter,) = broker.records("a.stage.dlq")
    assert letter.key is None
    assert await broker.committed("a.stage") == 2


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


@pytest.mark.parametrize("error", [UnspeakableError(), ValueError("\ud800")])
async def test_an_error_that_cannot_be_shown_still_becomes_a_dead_letter(error: Exception) -> None:
    @agent
    def fail(_value: bytes) -> bytes:
        raise error

    broker = await broker_for("a")
    await broker.write("a-in", (b"k", b"1"))

    async with running(Service(broker, [topology("a", fail)])):
        await until(lambda: broker.values("a.stage.dlq") == [b"1"])


async def test_a_drain_does_not_wait_for_retries_and_the_next_run_repeats_nothing_else() -> None:
    broker = await broker_for("a")
    attempts = 0

    @agent
    async def fail_once(value: bytes) -> bytes:
        nonlocal attempts
        if value == b"1":
            attempts += 1
            if attempts == 1:
                raise OSError
        return value

    settled = retry(3, backoff=Backoff(base_seconds=3000, max_seconds=3000))
    async with running(Service(broker, [topology("a", fail_once, settled)])) as task:
        await broker.write("a-in", (b"1", b"1"), (b"2", b"2"), (b"3", b"3"))
        await until(lambda: broker.values("a-out") == [b"2", b"3"])
        assert not task.done()

    assert await broker.committed("a.stage") == 0
    async with running(Service(broker, [topology("a", fail_once, settled)])):
        await until_committed(broker, "a.stage", 3)
    assert broker.values("a-out") == [b"2", b"3", b"1"]
    assert await broker.committed("a.stage") == 3


async def test_what_was_given_up_at_a_rebalance_is_not_sent_afterwards() -> None:
    broker = await broker_for("a")
    await broker.create("a-side")

    @agent
    def both(value: bytes) -> Iterator[Out[bytes]]:
        yield Out(value)
        yield Out(value, to="side")

    stage = build(
        Pipeline("a", source=Topic("a-in", bytes))
        .stage(both, name="stage", routes={"side": Topic("a-side", bytes)})
        .sink(Topic("a-out", bytes))
    )
    held = asyncio.Event()
    broker.held = {"a-out": held, "a-side": held}
    config = RuntimeConfig(revoke_drain_seconds=0.05)
    first, second = Service(broker, [stage], config=config), Service(broker, [stage])
    async with running(first):
        await broker.write("a-in", (b"k", b"1"))
        await until(lambda: broker.fired["held"] == 1)  # one batch of the two is handed over
        rebalances = first.metrics[0].rebalances
        async with running(second):
            await until(lambda: first.metrics[0].rebalances > rebalances)
            held.set()
            await until_committed(broker, "a.stage", 1)

    assert len(broker.values("a-side")) + len(broker.values("a-out")) == 3


async def test_nothing_of_a_partition_is_begun_after_the_record_that_said_stop() -> None:
    broker = await broker_for("a")
    seen: list[bytes] = []

    @agent
    def halt(value: bytes) -> bytes:
        seen.append(value)
        if value == b"2":
            raise ValueError
        return value

    await broker.write("a-in", *((b"%d" % n, b"%d" % n) for n in range(200)))
    service = Service(broker, [topology("a", halt, stop())])
    async with within(10, "the stage to stop", lambda: service.metrics):
        with pytest.raises(StageStoppedError):
            await service.run()

    assert seen == [b"0", b"1", b"2"]
    assert broker.values("a-out") == [b"0", b"1"]
    assert await broker.committed("a.stage") == 2


async def test_an_assignment_that_cannot_be_committed_is_given_up_and_taken_anew() -> None:
    broker = await broker_for("a")
    broker.commits_refused = True
    config = RuntimeConfig(commit_interval_seconds=0.01, commit_deadline_seconds=0.05)
    service = Service(broker, [topology("a")], config=config)
    async with running(service):
        await broker.write("a-in", (b"k", b"1"))
        await until(lambda: service.metrics[0].assignments_given_up > 0)
        broker.commits_refused = False
        await broker.write("a-in", (b"k", b"2"))
        await until_committed(broker, "a.stage", 2)
        given_up = service.metrics[0].assignments_given_up
    assert broker.fired["commit"] > 1
    assert service.metrics[0].rebalances == given_up + 1
    assert service.metrics[0].cut_off_since is None
    values = broker.values("a-out")
    assert values[-1] == b"2"
    assert set(values[:-1]) == {b"1"}
    assert len(values) <= 2 + given_up, "only what was not committed is repeated"


async def test_one_commit_that_fails_is_made_good_by_the_next() -> None:
    broker = await broker_for("a")
    broker.commits_refused = True
    config = RuntimeConfig(commit_interval_seconds=0.01, commit_deadline_seconds=3600)
    service = Service(broker, [topology("a")], config=config)
    async with running(service):
        await broker.write("a-in", (b"k", b"1"))
        await until(lambda: service.metrics[0].commit_failures > 0)
        broker.commits_refused = False
        await until_committed(broker, "a.stage", 1)
    assert service.metrics[0].assignments_given_up == 0
    assert broker.values("a-out") == [b"1"]


async def test_a_stop_does_not_wait_for_a_good_bye_where_the_last_commit_was_not_answered() -> None:
    broker = await broker_for("a")
    config = RuntimeConfig(stop_timeout_seconds=3600, commit_interval_seconds=3600)
    async with running(Service(broker, [topology("a")], config=config)):
        await broker.write("a-in", (b"k", b"1"))
        await until(lambda: broker.values("a-out") == [b"1"])
        broker.commits_refused = broker.stops_unanswered = True
    assert broker.fired["commit"] == 1
    assert broker.fired["stop"] == 1
