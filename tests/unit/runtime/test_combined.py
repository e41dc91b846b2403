"""Combinators as stages: the runtime opens their parts, cancels them, and counts in their time."""

import asyncio

from streamapp.clock import Clock, current_clock
from streamapp.errors import Permanent
from streamapp.pipeline.agent import agent
from streamapp.pipeline.combinators.branch import branch
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.when import when
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, retry
from streamapp.randomness import current_random
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service


class Client:
    """An agent with a client that is to be opened before it is called."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    async def open(self) -> None:
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1

    async def __call__(self, value: bytes) -> bytes:
        assert self.opened == 1
        assert not self.closed
        return value


def first(_: bytes, one: bytes, *__: bytes) -> bytes:
    return one


@in_virtual_time
async def test_each_part_is_opened_once_however_often_it_is_used() -> None:
    client = Client()
    part = agent(name="client")(client)
    nested = fallback(chain(parallel(part, part).join(first), same), part)
    broker = await broker_for("a", "b")
    await broker.write("a-in", (b"k", b"1"))
    other = chain(part, same)
    both = service(broker, one_stage(nested, name="a"), one_stage(other, name="b"))
    async with running(both):
        await until(lambda: broker.values("a-out") == [b"1"])
        assert (client.opened, client.closed) == (1, 0)
    assert (client.opened, client.closed) == (1, 1)


@in_virtual_time
async def test_agents_find_the_clock_and_the_random_numbers_of_their_service() -> None:
    found: list[Clock] = []
    drawn: list[float] = []

    @agent
    def look(value: bytes) -> bytes:
        found.append(current_clock())
        drawn.append(current_random().uniform(0, 7))
        return value

    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    own = service(broker, one_stage(look))
    async with running(own):
        await until(lambda: len(found) == 1)
    assert found == [broker.clock] != [current_clock()]
    assert drawn == [7]  # the service draws the longest


@in_virtual_time
async def test_a_branch_waits_in_the_time_of_its_service() -> None:
    calls: list[float] = []

    @agent
    async def third_time(value: bytes) -> bytes:
        calls.append(loop().time())
        if len(calls) < 3:
            raise OSError
        return value

    tried = branch(third_time, retry=retry(2, backoff=Backoff(base_seconds=20)))
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    stage = service(broker, one_stage(parallel(tried).join(first), timeout_seconds=99))
    async with running(stage):
        await until(lambda: broker.values("p-out") == [b"1"], seconds=99)
    assert [round(later - calls[0]) for later in calls] == [0, 20, 50]


@in_virtual_time
async def test_the_timeout_of_a_stage_ends_every_branch_before_the_next_attempt() -> None:
    running_now: set[str] = set()
    began: list[set[str]] = []

    @agent
    async def hangs(value: bytes) -> bytes:
        began.append(set(running_now))
        running_now.add("hangs")
        ignored = 0
        try:
            while len(began) < 2 and ignored < 2:
                try:
                    await asyncio.sleep(9999)
                except asyncio.CancelledError:
                    ignored += 1
            return value
        finally:
            running_now.discard("hangs")

    @agent
    async def slow(value: bytes) -> bytes:
        running_now.add("slow")
        try:
            await asyncio.sleep(2)
            return value
        finally:
            running_now.discard("slow")

    joined = parallel(hangs, slow).join(first)
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    policy = retry(3, backoff=Backoff(base_seconds=0.001))
    stage = service(broker, one_stage(joined, policy, timeout_seconds=5))
    async with running(stage):
        await until(lambda: broker.values("p-out") == [b"1"], seconds=100)
        assert stage.metrics[0].timeouts == 1
    assert began == [set(), set()]


@in_virtual_time
async def test_the_policy_of_the_stage_sees_what_the_branch_has_raised() -> None:
    @agent
    async def refuses(_: bytes) -> bytes:
        raise Permanent("no such title")

    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    stage = service(broker, one_stage(parallel(same, refuses).join(first), retry(5)))
    await stage.run(until_end=True)
    [metrics] = stage.metrics
    assert metrics.retries == 0
    assert broker.values("p.stage.dlq") == [b"1"]


@in_virtual_time
async def test_a_choice_of_plain_agents_keeps_the_fast_path() -> None:
    @agent
    def loud(value: bytes) -> bytes:
        return value.upper()

    chosen = choose(when(lambda value: value < b"b", loud), otherwise=same)
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"a"), (b"k", b"b"))
    stage = service(broker, one_stage(chosen, dead_letter()))
    async with running(stage):
        await until(lambda: len(broker.values("p-out")) == 2)
        lanes = stage._running[0]._runner._lanes._lanes
        assert len(lanes) == 1  # as agents have that never wait
    assert broker.values("p-out") == [b"A", b"b"]
