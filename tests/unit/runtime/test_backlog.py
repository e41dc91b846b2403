"""A key that keeps failing waits, with its later records, up to a bound."""

import asyncio
from collections import Counter

import pytest

from streamapp.errors import StageStoppedError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.backoff import Backoff
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.policy import dead_letter, retry
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed

PATIENT = retry(1000, backoff=Backoff(base_seconds=3600, max_seconds=3600))


class Broken:
    """An agent that fails for one key until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.calls: Counter[bytes] = Counter()

    def agent(self) -> Agent[bytes, bytes]:
        @agent(name="stage")
        def broken(value: bytes) -> bytes:
            self.calls[value] += 1
            if value.startswith(b"bad") and not self.mended:
                raise OSError
            return value

        return broken


async def broker_with(*values: bytes) -> FaultyBroker:
    broker = FaultyBroker()
    await broker.create("in", "out", "p.stage.dlq")
    await broker.write("in", *((value[:3], value) for value in values))
    return broker


def topology(broken: Broken, **settings: object) -> Topology:
    stage: dict[str, object] = {"on_error": PATIENT, "max_key_backlog_records": 3, **settings}
    return build(
        Pipeline("p", source=Topic("in", bytes))
        .stage(broken.agent(), **stage)  # type: ignore[arg-type]  # the test names fields of the class
        .sink(Topic("out", bytes))
    )


async def test_below_the_bound_it_waits_while_other_keys_go_on() -> None:
    broken = Broken()
    broker = await broker_with(b"bad0", b"abc0", b"bad1", b"abc1", b"bad2")
    async with running(Service(broker, [topology(broken)])):
        await until(lambda: broker.values("out") == [b"abc0", b"abc1"])
        assert broken.calls == {b"bad0": 1, b"abc0": 1, b"abc1": 1}
    assert await broker.committed("p.stage") == 0
    broken.mended = True
    async with running(Service(broker, [topology(broken)])):
        await until_committed(broker, "p.stage", 5)
    assert broker.values("out") == [b"abc0", b"abc1", b"bad0", b"bad1", b"bad2"]
    assert broker.values("p.stage.dlq") == []


async def test_at_the_bound_it_has_one_last_attempt_and_its_records_become_dead_letters() -> None:
    broken = Broken()
    values = [b"bad0", b"abc0", b"bad1", b"bad2", b"bad3", b"abc1"]
    broker = await broker_with(*values)
    async with running(Service(broker, [topology(broken)])):
        await until_committed(broker, "p.stage", 6)
    assert broker.values("out") == [b"abc0", b"abc1"]
    assert broker.values("p.stage.dlq") == [b"bad0", b"bad1", b"bad2", b"bad3"]
    assert broken.calls[b"bad0"] == 2
    assert broken.calls[b"bad1"] == 0
    first, second, *_ = broker.records("p.stage.dlq")
    reasons = [dict(letter.headers)["streamapp.error.reason"] for letter in (first, second)]
    assert reasons == [b"backlog", b"backlog"]
    assert dict(second.headers)["streamapp.error.class"] == b"KeyGivenUpError"
    assert b"offset 0 of its key" in dict(second.headers)["streamapp.error.message"]


async def test_the_bound_holds_as_well_when_its_records_came_before_it_failed() -> None:
    gate, calls = asyncio.Event(), Counter[bytes]()

    @agent(name="stage")
    async def slow_to_fail(value: bytes) -> bytes:
        calls[value] += 1
        if value == b"bad0":
            await gate.wait()
            raise OSError
        return value

    broker = await broker_with(b"bad0", b"bad1", b"bad2", b"bad3", b"abc0")
    stage = build(
        Pipeline("p", source=Topic("in", bytes))
        .stage(slow_to_fail, on_error=PATIENT, max_key_backlog_records=3)
        .sink(Topic("out", bytes))
    )
    async with running(Service(broker, [stage])):
        await until(lambda: broker.values("out") == [b"abc0"])
        gate.set()
        await until_committed(broker, "p.stage", 5)
    assert broker.values("p.stage.dlq") == [b"bad0", b"bad1", b"bad2", b"bad3"]
    assert calls == {b"bad0": 2, b"abc0": 1}


async def test_the_last_attempt_may_succeed() -> None:
    broken = Broken()
    broker = await broker_with(b"bad0", b"bad1", b"bad2")
    async with running(Service(broker, [topology(broken)])):
        await until(lambda: broken.calls[b"bad0"] == 1)
        broken.mended = True
        await broker.write("in", (b"bad", b"bad3"))
        await until_committed(broker, "p.stage", 4)
    assert broker.values("out") == [b"bad0", b"bad1", b"bad2", b"bad3"]
    assert broker.values("p.stage.dlq") == []


async def test_the_stage_can_stop_instead() -> None:
    broken = Broken()
    broker = await broker_with(b"abc0", b"bad0", b"bad1", b"bad2", b"bad3")
    with pytest.raises(StageStoppedError, match="3 records of its key wait behind it"):
        await Service(broker, [topology(broken, on_key_backlog="stop")]).run()
    assert broker.values("out") == [b"abc0"]
    assert await broker.committed("p.stage") == 1


NEVER_PROBED = BreakerConfig(first_probe_seconds=3600, longest_probe_seconds=3600)
"""A record that waits for another one to succeed waits as long as a breaker before a probe."""


async def test_a_record_that_waits_alone_is_given_up_with_its_backlog() -> None:
    broken = Broken()
    broker = await broker_with(b"bad0", b"bad1", b"bad2", b"bad3")
    alone = topology(broken, on_error=dead_letter(), breaker=NEVER_PROBED)
    async with running(Service(broker, [alone])):
        await until_committed(broker, "p.stage", 4)
    assert broken.calls == {b"bad0": 2}
    letters = [dict(letter.headers) for letter in broker.records("p.stage.dlq")]
    assert [letter["streamapp.error.reason"] for letter in letters] == [b"backlog"] * 4


async def test_a_stage_that_is_to_stop_does_so_for_a_record_that_waits_alone() -> None:
    broken = Broken()
    broker = await broker_with(b"bad0", b"bad1", b"bad2", b"bad3")
    alone = topology(broken, on_error=dead_letter(), breaker=NEVER_PROBED, on_key_backlog="stop")
    with pytest.raises(StageStoppedError, match="3 records of its key wait behind it"):
        await Service(broker, [alone]).run()
    assert broker.values("p.stage.dlq") == []


async def test_without_order_by_key_nothing_waits_behind_a_key() -> None:
    broken = Broken()
    broker = await broker_with(b"bad0", b"bad1", b"abc0", b"bad2", b"bad3", b"bad4")
    async with running(Service(broker, [topology(broken, ordering="unordered")])):
        await until(lambda: broker.values("out") == [b"abc0"])
        await until(lambda: broken.calls.total() == 6)
    assert broker.values("p.stage.dlq") == []


async def test_a_key_that_waits_does_not_make_a_stage_unhealthy_that_works() -> None:
    broken = Broken()
    broker = await broker_with(b"bad0", b"abc0")
    service = Service(broker, [topology(broken)])
    async with running(service):
        metrics = service.metrics[0]
        # A record stands in its topic before its acknowledgement arrives, which finishes it.
        await until(lambda: metrics.records_out["out"] == 1)
        await until(lambda: any(p.lag_records for p in metrics.partitions.values()))
        before = metrics.last_progress_at
        await broker.write("in", (b"abc", b"abc1"))
        await until(lambda: metrics.records_out["out"] == 2)
        assert broker.values("out") == [b"abc0", b"abc1"]
        assert metrics.last_progress_at is not None
        assert before is not None
        assert metrics.last_progress_at > before, "it finished a record, if not in its order"
