"""Failing records of any number of keys never keep other records from being read."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import StageStoppedError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.topology import Topology
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, retry
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service

PATIENT = retry(1000, backoff=Backoff(base_seconds=100, max_seconds=100))
"""Its first retry is so far away that what is done before was not kept waiting by it."""

BUSY = retry(100_000_000, backoff=Backoff(base_seconds=0.001, max_seconds=0.001))
"""Its retries are so near that failing records are seldom seen waiting for one."""


class Mendable:
    """An agent that fails for keys with `bad` in their names until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.calls: Counter[bytes] = Counter()

    def _work_on(self, value: bytes) -> bytes:
        self.calls[value] += 1
        if value.startswith(b"bad") and not self.mended:
            raise OSError
        return value

    @property
    def plain(self) -> Agent[bytes, bytes]:
        @agent
        def plain(value: bytes) -> bytes:
            return self._work_on(value)

        return plain

    @property
    def slow(self) -> Agent[bytes, bytes]:
        @agent
        async def slow(value: bytes) -> bytes:
            await asyncio.sleep(0.01)
            return self._work_on(value)

        return slow


def never_held(step: Agent[bytes, bytes], policy: Policy, **settings: Any) -> Topology:
    """One stage that takes no number of failures for the world's fault."""
    return one_stage(step, policy, breaker=None, **settings)


async def write(broker: FaultyBroker, values: Sequence[bytes], partitions: int = 1) -> None:
    """Write values with their first part as key; a key stands in one partition."""
    for partition in range(partitions):
        pairs = [(value.split(b" ")[0], value) for value in values]
        own = [pair for pair in pairs if sum(pair[0]) % partitions == partition]
        for first in range(0, len(own), 5000):  # so many fit into a batch of these tests
            await broker.write("p-in", *own[first : first + 5000], partition=partition)


def good_of(values: Sequence[bytes]) -> Counter[bytes]:
    return Counter(value for value in values if value.startswith(b"good"))


def written(broker: FaultyBroker, topic: str, partitions: int = 1) -> list[bytes]:
    return [v or b"" for n in range(partitions) for v in broker.values(topic, n)]


@pytest.mark.parametrize("policy", [PATIENT, BUSY], ids=["far", "near"])
@pytest.mark.parametrize("ordering", ["key", "unordered"])
@in_virtual_time
async def test_three_keys_below_their_bound_do_not_stop_the_others(
    ordering: str, policy: object
) -> None:
    broker, step = await broker_for("p"), Mendable()
    values = [b"bad%d %d" % (n % 3, n) for n in range(72)] + [b"good%d" % n for n in range(200)]
    await write(broker, values)
    stage = never_held(
        step.slow,
        policy,  # type: ignore[arg-type]  # a policy
        ordering=ordering,
        max_in_flight_records=100,
        max_key_backlog_records=25,
    )
    async with running(service(broker, stage)):
        await until(lambda: Counter(written(broker, "p-out")) == good_of(values))
        step.mended = True  # else the drain would go on with the near retries


@in_virtual_time
async def test_retries_that_are_always_due_leave_new_records_their_turns() -> None:
    broker, step = await broker_for("p"), Mendable()
    values = [b"bad%d" % n for n in range(8)] + [b"good%d" % n for n in range(2)]
    await write(broker, values)
    stage = never_held(
        step.slow, BUSY, ordering="unordered", max_in_flight_records=40, concurrency=3
    )
    async with running(service(broker, stage)):
        await until(lambda: Counter(written(broker, "p-out")) == good_of(values), seconds=60)
        step.mended = True  # else the drain would go on with the near retries


@in_virtual_time
async def test_as_few_keys_as_possible_give_way() -> None:
    broker, step = await broker_for("p"), Mendable()
    big = [b"bad0 %d" % n for n in range(40)]
    small = [b"bad%d %d" % (n, n) for n in range(1, 21)]
    await write(broker, big + small + [b"good%d" % n for n in range(200)])
    stage = never_held(step.plain, PATIENT, max_in_flight_records=100)
    async with running(service(broker, stage)):
        await until(lambda: len(written(broker, "p-out")) == 200)
        await until(lambda: len(broker.values("p.stage.dlq")) == 40)
        await asyncio.sleep(60)
        assert written(broker, "p.stage.dlq") == big
        assert step.calls[b"bad0 0"] == 2, "it had one last attempt"
        assert step.calls[b"bad0 1"] == 0
        letters = broker.records("p.stage.dlq")
        reasons = {dict(letter.headers)["streamapp.error.reason"] for letter in letters}
        assert reasons == {b"backlog"}
        step.mended = True
        await asyncio.sleep(201)
        assert Counter(written(broker, "p-out")[200:]) == Counter(small)


@in_virtual_time
async def test_bytes_that_wait_give_way_as_well() -> None:
    broker, step = await broker_for("p"), Mendable()
    await write(broker, [b"bad%d %s" % (n, b"x" * 1000) for n in range(20)])
    stage = never_held(step.plain, PATIENT, max_in_flight_bytes=8000)
    async with running(service(broker, stage)):
        await until(lambda: len(step.calls) == 20)
        await write(broker, [b"good%d" % n for n in range(40)])
        await until(lambda: len(written(broker, "p-out")) == 40)
        assert len(written(broker, "p.stage.dlq")) == 19


@in_virtual_time
async def test_a_failing_record_gives_way_when_no_more_offsets_behind_it_can_be_kept() -> None:
    broker, step = await broker_for("p"), Mendable()
    await write(broker, [b"bad 0", *(b"good%d" % n for n in range(500))])
    stage = never_held(step.plain, PATIENT, max_in_flight_records=20)
    async with running(service(broker, stage)):
        await until(lambda: len(written(broker, "p-out")) == 500)
        await until_committed(broker, "p.stage", 501)
    assert written(broker, "p.stage.dlq") == [b"bad 0"]


@in_virtual_time
async def test_that_records_give_way_is_logged_once_however_often_it_happens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, step = await broker_for("p"), Mendable()
    stage = never_held(step.plain, PATIENT, max_in_flight_records=20)
    async with running(service(broker, stage)):
        await write(broker, [b"%s%d" % (b"good" if n % 500 else b"bad", n) for n in range(1500)])
        await until_committed(broker, "p.stage", 1500)
    assert written(broker, "p.stage.dlq") == [b"bad0", b"bad500", b"bad1000"]
    assert len([line for line in caplog.messages if "keep others from being read" in line]) == 1


@in_virtual_time
async def test_below_the_bound_nothing_gives_way() -> None:
    broker, step = await broker_for("p"), Mendable()
    await write(broker, [b"bad%d" % n for n in range(25)] + [b"good%d" % n for n in range(100)])
    stage = never_held(step.slow, PATIENT, max_in_flight_records=100, concurrency=2)
    async with running(service(broker, stage)):
        await until(lambda: len(written(broker, "p-out")) == 100)
        await asyncio.sleep(50)
    assert written(broker, "p.stage.dlq") == []
    assert {step.calls[b"bad%d" % n] for n in range(25)} == {1}


@in_virtual_time
async def test_the_stage_can_stop_instead(caplog: pytest.LogCaptureFixture) -> None:
    broker, step = await broker_for("p"), Mendable()
    await write(broker, [b"bad%d" % n for n in range(60)])
    stage = never_held(step.plain, PATIENT, max_in_flight_records=100, on_key_backlog="stop")
    with pytest.raises(StageStoppedError, match="kept others from being read: OSError"):
        await service(broker, stage).run()
    assert written(broker, "p.stage.dlq") == []
    told = [record for record in caplog.messages if "keep others from being read" in record]
    assert len(told) == 1


@in_virtual_time
async def test_all_can_wait_instead() -> None:
    broker, step = await broker_for("p"), Mendable()
    values = [b"bad%d %d" % (n % 3, n) for n in range(200)] + [b"good%d" % n for n in range(40)]
    await write(broker, values)
    stage = never_held(
        step.plain,
        PATIENT,
        max_in_flight_records=100,
        max_key_backlog_records=5,
        on_key_backlog="wait",
    )
    async with running(service(broker, stage)):
        await asyncio.sleep(50)
        assert written(broker, "p-out") + written(broker, "p.stage.dlq") == []
        step.mended = True
        await asyncio.sleep(201)
        await until(lambda: Counter(written(broker, "p-out")) == Counter(values))
    assert written(broker, "p.stage.dlq") == []


@in_virtual_time
async def test_a_failing_partition_is_put_back_and_the_others_are_read() -> None:
    broker, step = await broker_for("p", partitions=3), Mendable()
    bad = [b"bad %d" % n for n in range(150)]
    good = [b"good %d" % n for n in range(150)]
    await broker.write("p-in", *((b"bad", value) for value in bad))
    await broker.write("p-in", *((b"good", value) for value in good), partition=1)
    stage = never_held(step.plain, PATIENT, ordering="partition", max_in_flight_records=100)
    running_stage = service(broker, stage)
    async with running(running_stage):
        await until(lambda: Counter(written(broker, "p-out", 3)) == Counter(good))
        await asyncio.sleep(50)
        assert step.calls[bad[0]] == 1
        assert running_stage.metrics[0].in_flight_records == 1
        step.mended = True
        await asyncio.sleep(201)
        await until(lambda: len(written(broker, "p-out", 3)) == 300)
        await until(lambda: running_stage.metrics[0].in_flight_records == 0)
        assert running_stage.metrics[0].records_in == 300
        assert running_stage.metrics[0].bytes_in == sum(map(len, bad + good))
        assert running_stage.metrics[0].in_flight_bytes == 0
        received = running_stage.metrics[0].received["p-in"]
        assert (received.records, received.bytes) == (300, sum(map(len, bad + good)))
    out = written(broker, "p-out", 3)
    assert [value for value in out if value.startswith(b"bad")] == bad
    assert [value for value in out if value.startswith(b"good")] == good
    assert set(step.calls.values()) == {1, 2}
    assert written(broker, "p.stage.dlq", 3) == []
    assert await broker.committed("p.stage") == 300


@st.composite
def values_of_keys(draw: st.DrawFn) -> list[bytes]:
    """Records of good and of failing keys, the failing ones first in half of all cases."""
    order = draw(st.lists(st.booleans(), min_size=1, max_size=250))
    failing_keys = draw(st.integers(1, 120))
    if draw(st.booleans()):
        order.sort()
    return [
        b"good%d %d" % (n % 7, n) if is_good else b"bad%d %d" % (n % failing_keys, n)
        for n, is_good in enumerate(order)
    ]


@settings(max_examples=30, deadline=None)
@given(
    values=values_of_keys(),
    ordering=st.sampled_from(("key", "unordered")),
    near=st.booleans(),
    slow=st.booleans(),
    bounds=st.sampled_from(((2, 1 << 20), (7, 1 << 20), (40, 1 << 20), (8192, 60), (64, 200))),
    partitions=st.integers(1, 3),
)
@in_virtual_time
async def test_however_many_keys_fail_all_others_are_worked_on(
    *,
    values: list[bytes],
    ordering: str,
    near: bool,
    slow: bool,
    bounds: tuple[int, int],
    partitions: int,
) -> None:
    broker, step = await broker_for("p", partitions=partitions), Mendable()
    await write(broker, values, partitions)
    stage = never_held(
        step.slow if slow else step.plain,
        BUSY if near else PATIENT,
        ordering=ordering,
        max_in_flight_records=bounds[0],
        max_in_flight_bytes=bounds[1],
        concurrency=3,
    )
    async with running(service(broker, stage)):
        good = good_of(values)
        await until(lambda: Counter(written(broker, "p-out", partitions)) == good, seconds=60)
        step.mended = True
        await asyncio.sleep(201)
        await until_committed(broker, "p.stage", len(values))
    ended = written(broker, "p-out", partitions) + written(broker, "p.stage.dlq", partitions)
    assert Counter(ended) == Counter(values), "nothing is lost, nothing is written twice"
    for key in {value.split(b" ")[0] for value in values} if ordering == "key" else ():
        for topic in ("p-out", "p.stage.dlq"):
            of_key = [v for v in written(broker, topic, partitions) if v.split(b" ")[0] == key]
            assert of_key == [v for v in values if v in of_key], "its order is kept"
