"""Records that wait for a delay in an outage."""

import asyncio
from collections import Counter

from streamapp.pipeline.agent import agent
from streamapp.policies.policy import retry_later
from tests.contract.pipelines import error_headers
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.later import BOTH, MINUTE, TEN, Calls, topics, until_done
from tests.unit.runtime.virtual import broker_with, in_virtual_time, loop, one_stage, service


@in_virtual_time
async def test_an_outage_holds_records_and_does_not_fill_the_retry_topics() -> None:
    down = True

    @agent
    def calls(value: bytes) -> bytes:
        if down:
            raise OSError("down")
        return value

    made = one_stage(calls, BOTH)
    broker = await broker_with(*made.topics())
    stage = service(broker, made)
    async with running(stage):
        await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(300)))
        await until(lambda: stage.metrics[0].held_since is not None)
        await asyncio.sleep(300)
        moved = broker.values(TEN)
        assert len(moved) <= 20
        assert broker.values(MINUTE) == broker.values("p.stage.dlq") == []
        down = False
        await until_done(broker, ("p-out", 300))
    assert Counter(broker.values("p-out")) == Counter(b"%d" % n for n in range(300))


@in_virtual_time
async def test_a_lone_record_of_an_outage_waits_for_another_after_its_last_delay_too() -> None:
    calls = Calls({b"a": 99}, error=lambda: OSError("down"))
    made = one_stage(calls.agent, retry_later([10]))
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"before"))
        await asyncio.sleep(20)
        await broker.write("p-in", (b"k", b"a"))
        await asyncio.sleep(100)
        assert broker.values("p.stage.dlq") == []
        await broker.write("p-in", (b"k", b"b"))
        await until_done(broker, ("p.stage.dlq", 1))


@in_virtual_time
async def test_a_record_of_an_outage_ends_if_others_succeed_after_it_has_come_back() -> None:
    calls = Calls({b"a": 99}, error=lambda: OSError("down"))
    made = one_stage(calls.agent, retry_later([10]))
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"))
        await asyncio.sleep(5)
        await broker.write("p-in", (b"k", b"b"))  # the outage may have begun anew since
        await asyncio.sleep(15)
        assert broker.values("p.stage.dlq") == []
        await broker.write("p-in", (b"k", b"c"))
        await until_done(broker, ("p.stage.dlq", 1), seconds=20)


@in_virtual_time
async def test_an_outage_that_begins_while_records_wait_makes_no_dead_letters_of_them() -> None:
    world: Exception | None = None

    @agent
    def calls(value: bytes) -> bytes:
        if world is not None:
            raise world
        if int(value) % 5 < 2 and loop().time() < 5:
            raise LookupError("not yet")
        return value

    made = one_stage(calls, retry_later([10]))
    broker = await broker_with(*made.topics())
    stage = service(broker, made)
    async with running(stage):
        await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(300)))
        await until_done(broker, ("p-out", 180), (TEN, 120))
        await asyncio.sleep(5)
        world = OSError("down")
        await asyncio.sleep(60)
        assert stage.metrics[0].held_since is not None
        world = None
        await until_done(broker, ("p-out", 300))
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_a_hold_forgets_no_attempt_that_was_made_before_the_delay() -> None:
    errors: list[Exception] = [ValueError("first"), OSError("down"), ValueError("last")]
    down = False

    @agent
    async def slow(value: bytes) -> bytes:
        if value == b"a":
            error = errors.pop(0)
            await asyncio.sleep(5 if isinstance(error, OSError) else 0)
            raise error
        if down:
            raise OSError("down")
        return value

    made = one_stage(slow, retry_later([10]))
    broker = await topics(made)
    stage = service(broker, made)
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await asyncio.sleep(11)
        down = True
        await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(50)))
        await until(lambda: stage.metrics[0].held_since is not None)
        await until(lambda: len(errors) == 1)
        await asyncio.sleep(6)
        down = False
        await until_done(broker, ("p.stage.dlq", 1), ("p-out", 50))
    [letter] = broker.records("p.stage.dlq")
    assert (error_headers(letter)["attempts"], error_headers(letter)["message"]) == ("2", "last")
