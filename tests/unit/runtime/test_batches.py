"""Calls with several records: when they are made, and what becomes of each record."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from streamapp.errors import Permanent, StageStoppedError, Transient
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import Stage
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, retry, retry_later, stop
from streamapp.record import TopicPartition
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime import faults
from tests.unit.runtime.faults import FaultyBroker, running
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

LATER = Backoff(base_seconds=10, max_seconds=10)
FOR_EVER = 30.0

until = partial(faults.until, seconds=3600)
"""Waits of virtual time, in which a linger may pass."""

Answer = Callable[[bytes], Any]


class Calls:
    """What a batch agent was called with, and when."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self._at_once = 0

    def agent(
        self,
        size: int,
        linger_seconds: float = FOR_EVER,
        *,
        seconds: float = 0.0,
        answer: Answer = bytes,
        fail: Callable[[list[bytes]], Exception | None] = lambda _values: None,
    ) -> Agent[bytes, bytes]:
        """An agent that takes so long, may fail, and else gives the answer to each value."""

        @batch_agent(size=size, linger_seconds=linger_seconds)
        async def called(values: list[bytes]) -> list[bytes | Exception | None]:
            self.batches.append(values)
            self.times.append(round(loop().time(), 3))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                await asyncio.sleep(seconds)
                if (error := fail(values)) is not None:
                    raise error
                return [answer(value) for value in values]
            finally:
                self._at_once -= 1

        return called


def numbered(*numbers: int, keys: int = 1000) -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % (n % keys), b"%d" % n) for n in numbers]


def written(broker: FaultyBroker) -> list[bytes]:
    """Values of the outputs, sorted."""
    return sorted(value or b"" for value in broker.values("p-out"))


async def run_to_end(stage: Service) -> None:
    async with asyncio.timeout(3600):
        await stage.run(until_end=True)


@in_virtual_time
async def test_a_full_batch_is_worked_on_at_once_and_the_rest_waits_for_others() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(12)))
    async with running(service(broker, one_stage(calls.agent(5, 30)))):
        await until(lambda: len(broker.values("p-out")) == 10)
        assert loop().time() < 1
        await until(lambda: len(broker.values("p-out")) == 12)
    assert [len(batch) for batch in calls.batches] == [5, 5, 2]
    assert calls.times == [0, 0, 30]
    assert broker.values("p-out") == [b"%d" % n for n in range(12)]


@in_virtual_time
async def test_records_that_come_meanwhile_fill_the_batch() -> None:
    broker, calls = await broker_for("p"), Calls()
    async with running(service(broker, one_stage(calls.agent(3)))):
        for n in range(6):
            await broker.write("p-in", *numbered(n))
            await asyncio.sleep(1)
        await until(lambda: len(broker.values("p-out")) == 6)
    assert calls.batches == [[b"0", b"1", b"2"], [b"3", b"4", b"5"]]
    assert calls.times == pytest.approx([2, 5], abs=0.3)


@in_virtual_time
async def test_the_wait_is_that_of_the_first_record_of_each_batch() -> None:
    broker, calls = await broker_for("p"), Calls()
    async with running(service(broker, one_stage(calls.agent(2, 10)))):
        for seconds in (4, 4, 4, 0):  # the second batch begins at 8, the third at 12
            await broker.write("p-in", *numbered(0))
            await asyncio.sleep(seconds)
        await broker.write("p-in", *numbered(0))
        await until(lambda: len(broker.values("p-out")) == 5)
    assert calls.times == pytest.approx([4, 12, 22], abs=0.3)


@in_virtual_time
async def test_without_a_wait_a_batch_is_what_is_there() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(7)))
    async with running(service(broker, one_stage(calls.agent(5, 0)))):
        await until(lambda: len(broker.values("p-out")) == 7)
    assert [len(batch) for batch in calls.batches] == [5, 2]
    assert calls.times == [0, 0]


@in_virtual_time
async def test_as_many_batches_as_the_concurrency_run_side_by_side() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(40)))
    topology = one_stage(calls.agent(5, seconds=1), concurrency=3)
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 40)
    assert [len(batch) for batch in calls.batches] == [5] * 8
    assert calls.most_at_once == 3
    assert calls.times[-1] == 2


@in_virtual_time
async def test_records_of_a_key_are_in_one_batch_and_in_no_other_meanwhile() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(12), keys=2))
    async with running(service(broker, one_stage(calls.agent(4, 10, seconds=1)))):
        await until(lambda: len(broker.values("p-out")) == 12)
    first, *later = calls.batches
    assert first == [b"0", b"1", b"2", b"3"]
    assert sorted(later) == [[b"%d" % n for n in range(i, 12, 2)] for i in (4, 5)]
    assert calls.times == [0, 1, 1]
    for key in range(2):
        numbers = [int(value or b"") for value in broker.values("p-out")]
        found = [n for n in numbers if n % 2 == key]
        assert found == list(range(key, 12, 2))


@in_virtual_time
async def test_a_partition_in_order_is_worked_on_in_batches_too() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(9)))
    topology = one_stage(calls.agent(4, 10, seconds=1), ordering="partition")
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 9)
    assert calls.batches == [[b"%d" % n for n in range(i, min(i + 4, 9))] for i in (0, 4, 8)]
    assert calls.most_at_once == 1


@in_virtual_time
async def test_a_retry_that_holds_its_partition_does_not_wait_for_others() -> None:
    broker, calls, tried = await broker_for("p"), Calls(), list[bytes]()
    await broker.write("p-in", *numbered(*range(3)))

    def answer(value: bytes) -> Any:
        tried.append(value)
        return OSError("busy") if tried.count(b"0") == 1 and value == b"0" else value

    topology = one_stage(
        calls.agent(3, answer=answer), retry(1, backoff=LATER), ordering="partition"
    )
    async with running(service(broker, topology)):
        await until(lambda: broker.values("p-out") == [b"0"])
        assert loop().time() < 11
        await until(lambda: len(broker.values("p-out")) == 3)
    assert calls.batches == [[b"0", b"1", b"2"], [b"0"], [b"1", b"2"]]


@in_virtual_time
async def test_without_order_records_of_a_key_are_in_batches_side_by_side() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(8), keys=1))
    topology = one_stage(calls.agent(4, seconds=1), ordering="unordered")
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 8)
    assert calls.most_at_once == 2


@in_virtual_time
async def test_records_of_several_partitions_share_a_batch() -> None:
    broker, calls = await broker_for("p", partitions=3), Calls()
    for partition in range(3):
        await broker.write("p-in", *numbered(partition), partition=partition)
    async with running(service(broker, one_stage(calls.agent(3)))):
        await until(lambda: len(calls.batches) == 1)
    assert sorted(calls.batches[0]) == [b"0", b"1", b"2"]


@in_virtual_time
async def test_one_bad_record_does_not_fail_its_batch() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(5)))

    def answer(value: bytes) -> Any:
        return {b"1": Permanent("one"), b"3": None}.get(value, value)

    stage = service(broker, one_stage(calls.agent(5, answer=answer), retry(3)))
    await run_to_end(stage)
    assert broker.values("p-out") == [b"0", b"2", b"4"]
    assert broker.values("p.stage.dlq") == [b"1"]
    [metrics] = stage.metrics
    assert (metrics.processed, metrics.filtered, metrics.dead_lettered) == (3, 1, 1)
    assert metrics.dead_letters[DeadLetterReason.PERMANENT] == 1
    assert metrics.batch_records is not None
    assert metrics.batch_records.total == 5
    assert metrics.batch_records.unit_seconds == 1
    assert sum(metrics.attempt_duration.counts) == 5
    assert metrics.failed_batches == 0


@in_virtual_time
async def test_a_record_that_does_not_decode_is_not_in_the_batch() -> None:
    broker, seen = await broker_for("p"), list[list[int]]()

    @batch_agent(size=3)
    async def noted(values: list[int]) -> list[int]:
        seen.append(values)
        return values

    await broker.write("p-in", (b"a", b"1"), (b"b", b"one"), (b"c", b"3"))
    topology = build(
        Pipeline("p", source=Topic("p-in", int)).stage(noted, name="stage").sink("p-out")
    )
    await run_to_end(service(broker, topology))
    assert seen == [[1, 3]]
    assert broker.values("p.stage.dlq") == [b"one"]


@in_virtual_time
async def test_when_a_call_raises_each_record_is_tried_alone_and_only_the_bad_one_fails() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(4)))

    def fail(values: list[bytes]) -> Exception | None:
        return ValueError("two") if b"2" in values else None

    stage = service(broker, one_stage(calls.agent(4, fail=fail, seconds=1)))
    await run_to_end(stage)
    assert [len(batch) for batch in calls.batches] == [4, 1, 1, 1, 1]
    assert calls.times == [0, 1, 1, 1, 1]
    assert written(broker) == [b"0", b"1", b"3"]
    assert broker.values("p.stage.dlq") == [b"2"]
    [metrics] = stage.metrics
    assert metrics.failed_batches == 1
    assert metrics.dead_lettered == 1
    assert sum(metrics.attempt_duration.counts) == 4  # that of the batch was no attempt of a record


@in_virtual_time
async def test_when_a_call_fails_through_the_world_its_records_are_tried_alone_later() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(4)))
    failures = [OSError("busy")]

    def fail(_values: list[bytes]) -> Exception | None:
        return failures.pop() if failures else None

    policy = retry(1, backoff=Backoff(base_seconds=10, max_seconds=100))
    await run_to_end(service(broker, one_stage(calls.agent(4, fail=fail), policy)))
    assert calls.times == [0, 10, 10, 10, 10]
    assert [len(batch) for batch in calls.batches] == [4, 1, 1, 1, 1]
    assert written(broker) == [b"0", b"1", b"2", b"3"]


@in_virtual_time
async def test_a_wrong_number_of_results_is_a_fault_of_each_record_that_has_it_alone() -> None:
    broker = await broker_for("p")

    @batch_agent(size=3)
    async def without_odd(values: list[int]) -> list[int]:
        return [value for value in values if value % 2 == 0]

    await broker.write("p-in", *((b"%d" % n, b"%d" % n) for n in range(3)))
    topology = build(
        Pipeline("p", source=Topic("p-in", int)).stage(without_odd, name="stage").sink("p-out")
    )
    stage = service(broker, topology)
    await run_to_end(stage)
    assert written(broker) == [b"0", b"2"]
    assert broker.values("p.stage.dlq") == [b"1"]
    assert stage.metrics[0].dead_letters[DeadLetterReason.OUTPUT] == 1


@in_virtual_time
async def test_a_retry_holds_its_key_only_and_what_stood_behind_it_is_tried_after_it() -> None:
    broker, calls, tried = await broker_for("p"), Calls(), list[bytes]()
    await broker.write("p-in", (b"a", b"a1"), (b"b", b"b1"), (b"a", b"a2"), (b"b", b"b2"))

    def answer(value: bytes) -> Any:
        tried.append(value)
        return OSError("busy") if tried.count(b"a1") == 1 and value == b"a1" else value

    policy = retry(1, backoff=LATER)
    async with running(service(broker, one_stage(calls.agent(4, 1, answer=answer), policy))):
        await until(lambda: broker.values("p-out") == [b"b1", b"b2"])
        assert loop().time() < 1
        await broker.write("p-in", (b"b", b"b3"), (b"a", b"a3"))
        await until(lambda: b"b3" in broker.values("p-out"))
        assert loop().time() < 3
        await until(lambda: len(broker.values("p-out")) == 6)
    assert broker.values("p-out") == [b"b1", b"b2", b"b3", b"a1", b"a2", b"a3"]
    assert tried == [b"a1", b"b1", b"a2", b"b2", b"b3", b"a1", b"a2", b"a3"]


@in_virtual_time
async def test_items_that_failed_alone_are_tried_again_in_batches() -> None:
    broker, calls, busy = await broker_for("p"), Calls(), [True] * 3
    await broker.write("p-in", *numbered(*range(3)))

    def answer(value: bytes) -> Any:
        return OSError("busy") if busy and busy.pop() else value

    policy = retry(1, backoff=LATER)
    await run_to_end(service(broker, one_stage(calls.agent(3, answer=answer), policy)))
    assert [len(batch) for batch in calls.batches] == [3, 3]
    assert written(broker) == [b"0", b"1", b"2"]


@in_virtual_time
async def test_a_timeout_is_that_of_the_call_and_takes_no_neighbour_down() -> None:
    broker, cancelled = await broker_for("p"), list[list[bytes]]()
    await broker.write("p-in", *numbered(*range(3)))

    @batch_agent(size=3)
    async def slow(values: list[bytes]) -> list[bytes]:
        try:
            await asyncio.sleep(600 if b"1" in values else 0)
        except asyncio.CancelledError:
            cancelled.append(values)
            raise
        return values

    stage = service(broker, one_stage(slow, timeout_seconds=5, breaker=None))
    await run_to_end(stage)
    assert cancelled == [[b"0", b"1", b"2"], [b"1"]]
    assert written(broker) == [b"0", b"2"]
    assert broker.values("p.stage.dlq") == [b"1"]
    assert stage.metrics[0].dead_letters[DeadLetterReason.TIMEOUT] == 1
    assert stage.metrics[0].timeouts == 2


@in_virtual_time
async def test_a_shutdown_does_not_wait_for_others_and_leaves_what_waits_to_the_next_run() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(5)))
    topology = one_stage(calls.agent(4))
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 4)
        stopped_at = loop().time()
    assert loop().time() - stopped_at < 1
    assert calls.batches == [[b"0", b"1", b"2", b"3"]]
    async with running(service(broker, topology)):
        await until(lambda: len(broker.values("p-out")) == 5)
    assert calls.batches[1:] == [[b"4"]]


@in_virtual_time
async def test_a_shutdown_finishes_the_batch_at_work() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(4)))
    stage = service(broker, one_stage(calls.agent(4, seconds=5)))
    async with running(stage):
        await until(lambda: len(calls.batches) == 1)
    assert len(broker.values("p-out")) == 4
    assert len(calls.batches) == 1


@pytest.mark.parametrize("policy", [stop(), retry(1, backoff=LATER)], ids=["stop", "retry"])
@in_virtual_time
async def test_within_a_drain_nothing_overtakes_a_record_of_its_key_that_fails(
    policy: Policy,
) -> None:
    broker, calls, tried = await broker_for("p"), Calls(), list[bytes]()

    @agent
    def once(value: bytes) -> bytes:
        tried.append(value)
        if value == b"2" and tried.count(value) == 1:
            raise LookupError("not yet")
        return value

    await broker.create("p.once.dlq")
    await broker.write("p-in", *numbered(*range(5), keys=1))
    pipeline = Pipeline("p", source=Topic("p-in", bytes)).stage(
        calls.agent(5, seconds=1), name="stage"
    )
    fused = pipeline.stage(once, fused=True, on_error=policy).sink("p-out")
    stage = service(broker, build(fused))
    task = asyncio.create_task(stage.run())
    await until(lambda: len(calls.batches) == 1)
    stage.stop()
    await asyncio.gather(task, return_exceptions=True)
    outputs = broker.values("p-out")
    assert outputs[:2] == [b"0", b"1"]
    assert outputs == [b"%d" % n for n in range(len(outputs))]


@in_virtual_time
async def test_a_batch_that_does_not_end_in_time_is_cancelled_and_read_again() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(4)))
    config = RuntimeConfig(shutdown_drain_seconds=1)
    async with running(service(broker, one_stage(calls.agent(4, seconds=300)), config=config)):
        await until(lambda: len(calls.batches) == 1)
    assert broker.values("p-out") == []
    async with running(service(broker, one_stage(calls.agent(4)))):
        await until(lambda: len(broker.values("p-out")) == 4)


@in_virtual_time
async def test_a_retry_within_a_drain_does_not_wait_for_others() -> None:
    broker, calls, tries = await broker_for("p"), Calls(), list[bytes]()
    await broker.write("p-in", *numbered(*range(2)))

    def answer(value: bytes) -> Any:
        tries.append(value)
        return OSError("busy") if value == b"0" and tries.count(value) == 1 else value

    policy = retry(1, backoff=Backoff(base_seconds=1, max_seconds=1))
    stage = service(broker, one_stage(calls.agent(2, seconds=2, answer=answer), policy))
    async with running(stage):
        await until(lambda: len(calls.batches) == 1)
    assert written(broker) == [b"0", b"1"]


@in_virtual_time
async def test_a_replay_begins_batches_anew_and_loses_nothing() -> None:
    broker, calls = await broker_for("p"), Calls()
    broker.fail_batches["p-out"] = 1
    await broker.write("p-in", *numbered(*range(6)))
    async with running(service(broker, one_stage(calls.agent(4, 20, seconds=1)))):
        await until(lambda: len(set(broker.values("p-out"))) == 6)
    assert broker.fired["p-out"] == 1
    assert written(broker) == [b"%d" % n for n in range(6)]


@pytest.mark.parametrize("is_retried", [False, True], ids=["first attempt", "retry"])
@in_virtual_time
async def test_when_one_partition_begins_anew_the_records_of_others_are_tried_again(
    *, is_retried: bool
) -> None:
    broker, batches = await broker_for("p", partitions=2), list[list[bytes]]()

    @batch_agent(size=5, linger_seconds=30)
    async def hangs_once(values: list[bytes]) -> list[bytes | Exception]:
        batches.append(values)
        is_first = sum(len(batch) == 5 for batch in batches) == 1
        await asyncio.sleep(600 if len(values) == 5 and is_first else 0)
        return [OSError("busy") if len(values) == 1 else value for value in values]

    topology = one_stage(hangs_once, retry(1, backoff=LATER), breaker=None, timeout_seconds=1000)
    stage = service(broker, topology)
    async with running(stage):
        await broker.write("p-in", (b"a", b"1"), partition=1)
        if is_retried:
            await until(lambda: batches == [[b"1"]])
            await asyncio.sleep(1)
        others = [(b"b", b"2"), (b"b", b"3"), (None, b"4")]
        await broker.write("p-in", *others, partition=1)
        await broker.write("p-in", (b"c", b"0"))
        await until(lambda: len(batches[-1:]) > 0 and len(batches[-1]) == 5)
        began = loop().time()
        # As when a position is lost because the log was cut off and written anew.
        stage._running[0]._runner._assignment.restart_at(TopicPartition("p-in", 0), 0)
        await until(lambda: sum(len(broker.values("p-out", n)) for n in range(2)) == 5)
        assert loop().time() - began < 60, "the call was cancelled"
    outputs = [value for n in range(2) for value in broker.values("p-out", n)]
    assert sorted(value or b"" for value in outputs) == [b"0", b"1", b"2", b"3", b"4"]
    assert outputs.index(b"2") < outputs.index(b"3")
    assert [len(batch) for batch in batches] == [1, 5, 5] if is_retried else [5, 5]


@in_virtual_time
async def test_another_member_takes_over_what_waits() -> None:
    broker, calls = await broker_for("p", partitions=2), Calls()
    topology = one_stage(calls.agent(3, 20, seconds=1))
    stage = service(broker, topology)
    async with running(stage):
        for partition in range(2):
            await broker.write("p-in", *numbered(partition), partition=partition)
        await asyncio.sleep(5)
        assert calls.batches == []
        async with running(service(broker, topology)):
            await until(lambda: stage.metrics[0].rebalances == 2)
            await until(lambda: sum(map(len, calls.batches)) == 2)
    assert sorted(value for batch in calls.batches for value in batch) == [b"0", b"1"]


@in_virtual_time
async def test_the_policy_stop_finishes_what_stands_before_the_record_and_nothing_behind() -> None:
    broker, calls = await broker_for("p"), Calls()

    def answer(value: bytes) -> Any:
        return Permanent("three") if value == b"3" else value

    await broker.write("p-in", *numbered(*range(3)), *numbered(*range(3, 7)))
    stage = service(broker, one_stage(calls.agent(5, answer=answer), stop()))
    with pytest.raises(StageStoppedError) as stopped:
        await run_to_end(stage)
    assert stopped.value.offset == 3
    assert broker.values("p-out")[:3] == [b"0", b"1", b"2"]


@in_virtual_time
async def test_what_waits_for_others_before_the_record_that_says_stop_is_worked_on_at_once() -> (
    None
):
    broker, calls = await broker_for("p"), Calls()

    def answer(value: bytes) -> Any:
        if value == b"3":
            return Permanent("three")
        return OSError("busy") if value == b"0" and len(calls.batches) == 1 else value

    seconds = [0.0, 5.0, 0.0]

    @batch_agent(size=2, linger_seconds=30)
    async def called(values: list[bytes]) -> list[bytes | Exception]:
        calls.batches.append(values)
        calls.times.append(round(loop().time(), 3))
        answers = [answer(value) for value in values]
        await asyncio.sleep(seconds.pop(0))
        return answers

    await broker.write("p-in", *numbered(*range(4)))
    policy = retry(1, backoff=Backoff(base_seconds=1), then=stop())
    stage = service(broker, one_stage(called, policy, concurrency=2))
    with pytest.raises(StageStoppedError) as stopped:
        await run_to_end(stage)
    assert stopped.value.offset == 3
    assert written(broker) == [b"0", b"1", b"2"]
    assert calls.batches == [[b"0", b"1"], [b"2", b"3"], [b"0"]]
    assert calls.times == pytest.approx([0, 0, 5], abs=0.3)


@in_virtual_time
async def test_a_key_that_is_given_up_has_one_last_attempt_at_once_and_what_is_behind_it_none() -> (
    None
):
    broker, calls = await broker_for("p"), Calls()

    def answer(value: bytes) -> Any:
        return OSError("busy") if value.startswith(b"bad") else value

    patient = retry(1000, backoff=Backoff(base_seconds=3600, max_seconds=3600))
    topology = one_stage(
        calls.agent(2, 5, answer=answer), patient, breaker=None, max_key_backlog_records=3
    )
    async with running(service(broker, topology)):
        await broker.write("p-in", (b"bad", b"bad0"))
        await until(lambda: len(calls.batches) == 1)
        await asyncio.sleep(1)
        written_at = loop().time()
        await broker.write("p-in", *((b"bad", b"bad%d" % n) for n in range(1, 4)))
        await until(lambda: len(broker.values("p.stage.dlq")) == 4)
        assert calls.times[1] == pytest.approx(written_at, abs=0.3)
    assert calls.batches == [[b"bad0"], [b"bad0"]]


@in_virtual_time
async def test_records_are_held_in_an_outage_and_done_in_batches_after_it() -> None:
    broker, calls, down = await broker_for("p"), Calls(), [True]

    def fail(_values: list[bytes]) -> Exception | None:
        return Transient("down") if down else None

    await broker.write("p-in", *numbered(*range(400)))
    stage = service(broker, one_stage(calls.agent(20, 1, fail=fail), retry(2), concurrency=4))
    async with running(stage):
        await until(lambda: stage.metrics[0].held_since is not None)
        began = len(calls.batches)
        await asyncio.sleep(600)
        probes = len(calls.batches) - began
        assert 1 < probes < 60
        assert all(len(batch) == 1 for batch in calls.batches[-probes + 4 :])
        down.clear()
        await until(lambda: len(broker.values("p-out")) == 400)
    assert broker.values("p.stage.dlq") == []
    assert max(len(batch) for batch in calls.batches[began + probes :]) == 20


@in_virtual_time
async def test_what_waits_for_others_is_probed_with_once_and_what_is_behind_it_comes_after_it() -> (
    None
):
    broker, calls, down = await broker_for("p"), Calls(), [True]

    def fail(_values: list[bytes]) -> Exception | None:
        return Transient("down") if down else None

    stage = service(broker, one_stage(calls.agent(4, 30, seconds=1, fail=fail), retry(2)))
    async with running(stage):
        await broker.write("p-in", *numbered(*range(4)))
        await until(lambda: len(calls.batches) == 1)
        await broker.write("p-in", (None, b"4"), (b"a", b"5"), (b"a", b"6"))
        await until(lambda: [b"4"] in calls.batches and [b"5"] in calls.batches)
        assert stage.metrics[0].held_since is not None
        down.clear()
        await until(lambda: len(broker.values("p-out")) == 7)
    assert written(broker) == [b"%d" % n for n in range(7)]
    assert broker.values("p-out").index(b"5") < broker.values("p-out").index(b"6")


@in_virtual_time
async def test_records_that_were_not_tried_end_a_hold_if_those_that_were_always_fail() -> None:
    broker, calls = await broker_for("p"), Calls()

    def fail(values: list[bytes]) -> Exception | None:
        return Transient("its shard is down") if any(int(v) < 10 for v in values) else None

    await broker.write("p-in", *numbered(*range(10)))
    stage = service(broker, one_stage(calls.agent(5, 1, fail=fail), retry(2), concurrency=4))
    async with running(stage):
        await until(lambda: stage.metrics[0].held_since is not None)
        await broker.write("p-in", *numbered(*range(10, 40), keys=30))
        await until(lambda: len(broker.values("p-out")) == 20)
        probes = [batch for batch in calls.batches[2:] if len(batch) == 1]
    assert written(broker) == sorted(b"%d" % n for n in range(10, 30))
    assert {int(value) < 10 for [value] in probes} == {True, False}


@in_virtual_time
async def test_a_record_that_makes_each_call_time_out_ends_as_a_dead_letter() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", *numbered(*range(100)))

    @batch_agent(size=50, linger_seconds=1)
    async def stuck(values: list[bytes]) -> list[bytes]:
        await asyncio.sleep(600 if b"7" in values else 0.1)
        return values

    stage = service(broker, one_stage(stuck, retry(2), timeout_seconds=5))
    async with running(stage):
        await until(lambda: len(broker.values("p-out")) == 99)
        for n in range(100, 110):  # as long as nothing else succeeds, it may be the world's fault
            await broker.write("p-in", *numbered(n))
            await asyncio.sleep(10)
    assert broker.values("p.stage.dlq") == [b"7"]
    assert len(broker.values("p-out")) == 109


@in_virtual_time
async def test_contexts_are_those_of_the_items() -> None:
    broker = await broker_for("p")

    @batch_agent(size=3)
    async def told(
        values: list[bytes], contexts: list[Context]
    ) -> list[Out[bytes] | Exception | None]:
        return [
            OSError("busy")
            if value == b"1" and context.attempt == 1
            else Out(b"%s at %d, attempt %d" % (value, context.record.offset, context.attempt))
            for value, context in zip(values, contexts, strict=True)
        ]

    await broker.write("p-in", *numbered(*range(3)))
    await run_to_end(service(broker, one_stage(told, retry(1, backoff=LATER))))
    assert broker.values("p-out") == [
        b"0 at 0, attempt 1",
        b"2 at 2, attempt 1",
        b"1 at 1, attempt 2",
    ]


@pytest.mark.parametrize("blocking", [False, True])
def test_plain_functions_take_batches_as_well(blocking: bool) -> None:
    broker = asyncio.run(_plain(blocking))
    assert broker.values("p-out") == [b"%d" % n for n in range(7)]


async def _plain(blocking: bool) -> FaultyBroker:
    @batch_agent(size=3, linger_seconds=0.01, blocking=blocking)
    def plain(values: list[bytes]) -> list[bytes]:
        return values

    broker = FaultyBroker()
    await broker.create("p-in", "p-out", "p.stage.dlq")
    await broker.write("p-in", *numbered(*range(7), keys=1))
    await Service(broker, [one_stage(plain)]).run(until_end=True)
    return broker


@in_virtual_time
async def test_an_agent_without_outputs_stores_whole_batches() -> None:
    broker, stored = await broker_for("p"), list[list[bytes]]()

    @batch_agent(size=3)
    async def store(values: list[bytes]) -> None:
        stored.append(values)

    await broker.write("p-in", *numbered(*range(4)))
    topology = build(Pipeline("p", source=Topic("p-in", bytes)).stage(store, name="stage"))
    stage = service(broker, topology)
    await run_to_end(stage)
    assert stored == [[b"0", b"1", b"2"], [b"3"]]
    assert stage.metrics[0].filtered == 4


@agent
async def resting(value: bytes) -> bytes:
    if value == b"2":
        raise ValueError("two")
    await asyncio.sleep(1)
    return value + b"!"


@in_virtual_time
async def test_items_pass_on_to_a_fused_stage_in_their_order() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.create("p.resting.dlq")
    await broker.write("p-in", *numbered(*range(4), keys=2))
    topology = build(
        Pipeline("p", source=Topic("p-in", bytes))
        .stage(calls.agent(4), name="stage")
        .stage(resting, fused=True, on_error=dead_letter())
        .sink("p-out")
    )
    stage = service(broker, topology)
    await run_to_end(stage)
    assert broker.values("p-out") == [b"0!", b"1!", b"3!"]
    assert broker.values("p.resting.dlq") == [b"2"]
    assert [metrics.processed for metrics in stage.metrics] == [4, 3]


@in_virtual_time
async def test_middleware_runs_around_each_item_and_the_agent_is_called_once() -> None:
    broker, calls = await broker_for("p"), Calls()

    async def around(data: bytes, _stage: Stage, context: Context, call: Call) -> Any:
        if data == b"1":
            raise Permanent("refused")
        context.metadata["seen"] = data.decode()
        return await call(data + b"+")

    await broker.write("p-in", *numbered(*range(3)))
    topology = build(
        Pipeline("p", source=Topic("p-in", bytes))
        .use(around)
        .stage(calls.agent(3), name="stage")
        .sink("p-out")
    )
    await run_to_end(service(broker, topology))
    assert calls.batches == [[b"0+", b"2+"]]
    assert broker.values("p-out") == [b"0+", b"2+"]
    assert broker.values("p.stage.dlq") == [b"1"]


@in_virtual_time
async def test_half_of_the_bound_is_a_batch_that_fills_itself() -> None:
    broker, calls = await broker_for("p"), Calls()
    await broker.write("p-in", *numbered(*range(40)))
    topology = one_stage(calls.agent(10, seconds=1), max_in_flight_records=20)
    stage = service(broker, topology)
    async with running(stage):
        await until(lambda: len(broker.values("p-out")) == 40)
        assert stage.metrics[0].in_flight_records <= 20
    assert [len(batch) for batch in calls.batches] == [10] * 4


@in_virtual_time
async def test_what_comes_back_from_a_retry_topic_is_tried_alone() -> None:
    broker, calls, tried = await broker_for("p"), Calls(), list[bytes]()
    await broker.create("p.stage.retry-10s", "p.stage.retry-1m")
    await broker.write("p-in", *numbered(*range(4)))

    def answer(value: bytes) -> Any:
        tried.append(value)
        fails = value in {b"1", b"2"} and tried.count(value) < 3
        return ValueError(value.decode()) if fails or value == b"3" else value

    stage = service(broker, one_stage(calls.agent(4, 1, answer=answer), retry_later([10, 60])))
    async with running(stage):
        await until(lambda: len(broker.values("p-out")) == 3)
        await until(lambda: broker.values("p.stage.dlq") == [b"3"])
    assert [len(batch) for batch in calls.batches] == [4, 1, 1, 1, 1, 1, 1]
    assert calls.times == pytest.approx([0, 10, 10, 10, 70, 70, 70], abs=1.5)
    assert written(broker) == [b"0", b"1", b"2"]
