"""Rebalances, leaving the group, and joining it anew when commits no longer succeed."""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from streamapp.brokers.protocols import ConsumerConfig
from streamapp.pipeline.agent import Agent, agent
from streamapp.runtime.config import RuntimeConfig
from streamapp.runtime.membership import MOST_LISTED
from streamapp.service import Service
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.test_faults import Listening
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

CONFIG = RuntimeConfig(
    commit_deadline_seconds=60,
    revoke_drain_seconds=7,
    shutdown_drain_seconds=8,
    stop_timeout_seconds=3,
)


class Waiting:
    """An agent that waits when it is first given the record called slow.

    Args:
        seconds: how long.
        deaf_seconds: how long it goes on when it is cancelled.
    """

    def __init__(self, seconds: float = 3600, *, deaf_seconds: float = 0) -> None:
        self.calls: Counter[bytes] = Counter()
        self.running = 0
        self.most_running = 0
        self._seconds = seconds
        self._deaf_seconds = deaf_seconds

    def agent(self) -> Agent[bytes, bytes]:
        @agent(name="stage")
        async def wait(value: bytes) -> bytes:
            self.calls[value] += 1
            if value == b"slow":
                self.running += 1
                self.most_running = max(self.most_running, self.running)
                try:
                    await asyncio.sleep(self._seconds if self.calls[value] == 1 else 0)
                except asyncio.CancelledError:
                    await sleep_deafly(self._deaf_seconds)
                    raise
                finally:
                    self.running -= 1
            return value

        return wait


async def sleep_deafly(seconds: float) -> None:
    until = loop().time() + seconds
    while (left := until - loop().time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(left)


async def fail_commits_until_given_up(broker: FaultyBroker, stage: Service) -> None:
    given_up = stage.metrics[0].assignments_given_up
    broker.commits_refused = True
    await broker.write("p-in", (b"quick", b"quick"))
    await until(lambda: stage.metrics[0].assignments_given_up > given_up, seconds=100)
    broker.commits_refused = False


@in_virtual_time
async def test_waits_between_tries_to_join_anew_grow_to_their_bound_and_begin_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(same), config=CONFIG)
    [metrics] = stage.metrics
    async with running(stage):
        await until(lambda: metrics.rebalances == 1)
        for _ in range(2):
            broker.started_at.clear()
            broker.starts_refused = True
            await fail_commits_until_given_up(broker, stage)
            await until(lambda: len(broker.started_at) == 8, seconds=60)
            waits = [after - before for before, after in pairwise(broker.started_at)]
            assert waits == pytest.approx([0.5, 1, 2, 4, 8, 10, 10])
            broker.starts_refused = False
            await until(lambda: metrics.cut_off_since is None, seconds=60)
        await broker.write("p-in", (b"k", b"last"))
        await until(lambda: broker.values("p-out")[-1:] == [b"last"])
    assert metrics.rebalances == 3
    assert await broker.committed("p.stage") == 3
    told = [record.getMessage() for record in caplog.records]
    assert sum("no commit has succeeded for 60 s" in line for line in told) == 2
    assert sum("the group cannot be joined yet" in line for line in told) == 16
    assert not any("fetching failed" in line for line in told)


@in_virtual_time
async def test_while_a_stage_cannot_join_anew_it_is_no_member_and_cut_off_since_it_gave_up() -> (
    None
):
    broker = await broker_for("p")
    stage = service(broker, one_stage(same), config=CONFIG)
    [metrics] = stage.metrics
    async with running(stage):
        await until(lambda: metrics.rebalances == 1)
        assert broker.members("p.stage") == 1
        broker.starts_refused = True
        await fail_commits_until_given_up(broker, stage)
        at = loop().time()
        await asyncio.sleep(30)
        assert broker.members("p.stage") == 0
        assert not metrics.partitions
        assert metrics.cut_off_since == pytest.approx(at, abs=0.1)
        broker.starts_refused = False
        await until(lambda: metrics.rebalances == 2)
        assert metrics.cut_off_since is None
        assert broker.members("p.stage") == 1


@in_virtual_time
async def test_what_was_in_flight_when_an_assignment_is_given_up_is_delivered_again() -> None:
    broker, waiting = await broker_for("p"), Waiting(100, deaf_seconds=2)
    stage = service(
        broker, one_stage(waiting.agent(), timeout_seconds=3000, concurrency=2), config=CONFIG
    )
    async with running(stage):
        await until(lambda: stage.metrics[0].rebalances == 1)
        await broker.write("p-in", (b"slow", b"slow"))
        await until(lambda: waiting.running == 1)
        await fail_commits_until_given_up(broker, stage)
        await broker.write("p-in", (b"late", b"late"))  # comes with a fetch that is under way
        await until(lambda: waiting.calls[b"slow"] == 2)
        await until(lambda: broker.values("p-out")[-1:] == [b"slow"])
    assert waiting.most_running == 1, "a record must not meet its own last attempt"
    assert waiting.calls == {b"slow": 2, b"quick": 2, b"late": 1}
    assert await broker.committed("p.stage") == 3


@in_virtual_time
async def test_a_stage_that_ends_does_not_join_anew() -> None:
    broker, waiting = await broker_for("p"), Waiting()
    config = replace(CONFIG, commit_deadline_seconds=3)
    stage = service(broker, one_stage(waiting.agent(), concurrency=2), config=config)
    async with running(stage):
        await broker.write("p-in", (b"slow", b"slow"), (b"quick", b"quick"))
        await until(lambda: broker.values("p-out") == [b"quick"])
        broker.commits_refused = True
    assert broker.fired["commit"] > 3
    assert stage.metrics[0].assignments_given_up == 0


@pytest.mark.parametrize(
    ("deaf_seconds", "stop_timeout_seconds", "seconds"),
    [(0, 3, 7), (2, 3, 9), (2.5, 3, 9.5), (30, 3, 10), (30, 0.5, 7.5), (30, 2.5, 9.5)],
)
@in_virtual_time
async def test_partitions_are_given_back_after_the_drain_and_the_end_of_what_it_cancelled(
    deaf_seconds: float, stop_timeout_seconds: float, seconds: float
) -> None:
    broker, waiting = await broker_for("p"), Waiting(deaf_seconds=deaf_seconds)
    config = replace(CONFIG, stop_timeout_seconds=stop_timeout_seconds)
    first = service(broker, one_stage(waiting.agent()), config=config)
    second = service(broker, one_stage(same), config=CONFIG)
    async with running(first):
        await broker.write("p-in", (b"slow", b"slow"))
        await until(lambda: waiting.running == 1)
        began_at = loop().time()
        async with running(second):
            await until(lambda: second.metrics[0].rebalances == 1, seconds=60)
            assert loop().time() - began_at == pytest.approx(seconds, abs=0.05)
            await until(lambda: waiting.running == 0, seconds=60)
        await until(lambda: broker.values("p-out") == [b"slow"])


@in_virtual_time
async def test_nothing_is_begun_between_a_revocation_and_the_next_assignment() -> None:
    broker, first_agent, second_agent = await broker_for("p"), Waiting(5), Waiting(5)
    first = service(broker, one_stage(first_agent.agent(), concurrency=2), config=CONFIG)
    second = service(broker, one_stage(second_agent.agent(), concurrency=2), config=CONFIG)
    async with running(first):
        await broker.write("p-in", (b"slow", b"slow"))
        await until(lambda: first_agent.running == 1)
        async with running(second):
            await until(lambda: first.metrics[0].cut_off_since is not None)
            await broker.write("p-in", (b"late", b"late"))
            await asyncio.sleep(4)
            assert first_agent.calls + second_agent.calls == {b"slow": 1}
            await until(lambda: broker.values("p-out") == [b"slow", b"late"])
    assert first_agent.calls + second_agent.calls == {b"slow": 1, b"late": 1}


@in_virtual_time
async def test_what_a_drain_did_not_finish_is_delivered_to_the_next_assignment() -> None:
    broker, waiting = await broker_for("p"), Waiting(100)
    first = service(
        broker, one_stage(waiting.agent(), timeout_seconds=3000, concurrency=2), config=CONFIG
    )
    second = service(
        broker, one_stage(waiting.agent(), timeout_seconds=3000, concurrency=2), config=CONFIG
    )
    async with running(first):
        await broker.write("p-in", (b"slow", b"slow"))
        await until(lambda: waiting.running == 1)
        async with running(second):
            await until(lambda: first.metrics[0].cut_off_since is not None)
            await broker.write("p-in", (b"late", b"late"))  # comes with a fetch that is under way
            await until(lambda: len(broker.values("p-out")) == 2, seconds=200)
    assert broker.values("p-out") == [b"late", b"slow"]
    assert waiting.calls == {b"slow": 2, b"late": 1}


@in_virtual_time
async def test_partitions_that_are_assigned_while_there_is_no_producer_wait_for_one() -> None:
    broker, waiting = await broker_for("p"), Waiting()
    stage = service(broker, one_stage(waiting.agent()), config=CONFIG)
    [metrics] = stage.metrics
    other = broker.consumer(ConsumerConfig("p.stage", ("p-in",)), Listening())
    async with running(stage):
        await until(lambda: metrics.rebalances == 1)
        broker.fail_batches["p-out"] = 1
        broker.producers_refused = True
        await broker.write("p-in", (b"quick", b"quick"))
        await until(lambda: broker.fired["start"] > 0)
        await other.start()
        await until(lambda: metrics.rebalances == 2)
        assert metrics.partitions
        await broker.write("p-in", (b"late", b"late"))
        await asyncio.sleep(3)
        assert waiting.calls == {b"quick": 1}
        broker.producers_refused = False
        await until(lambda: broker.values("p-out") == [b"quick", b"late"], seconds=30)
        await other.stop()


@pytest.mark.parametrize("is_slow", [True, False])
@in_virtual_time
async def test_work_that_a_stop_leaves_unfinished_is_told(
    is_slow: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, waiting = await broker_for("p"), Waiting()
    stage = service(broker, one_stage(waiting.agent()), config=CONFIG)
    value = b"slow" if is_slow else b"quick"
    async with running(stage):
        await broker.write("p-in", (b"k", value))
        await until(lambda: waiting.calls[value] == 1)
        began_at = loop().time()
    told = "could not finish or write all records in flight" in caplog.text
    assert told == is_slow
    assert loop().time() - began_at == pytest.approx(8 if is_slow else 0, abs=0.1)


@in_virtual_time
async def test_the_log_names_the_partitions_that_come_and_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_for("p", partitions=2)
    first, second = service(broker, one_stage(same)), service(broker, one_stage(same))
    third = service(broker, one_stage(same))
    with caplog.at_level(logging.INFO, "streamapp.runtime.membership"):
        async with running(first):
            await until(lambda: first.metrics[0].rebalances == 1)
            told = [one.getMessage() for one in caplog.records if one.name.endswith("membership")]
            assert told == [
                "p.stage: assigned p-in[0,1]",
                "p.stage: starts p-in[0] at its beginning, p-in[1] at its beginning",
            ]
            async with running(second):
                await until(lambda: second.metrics[0].rebalances == 1)
                assert "p.stage: gave back p-in[0,1]" in caplog.messages
                async with running(third):
                    await until(lambda: third.metrics[0].rebalances == 1)
                    assert caplog.messages[-2:] == [
                        "p.stage: assigned no partitions",
                        "p.stage: starts nowhere",
                    ]
    noted = [one.told for one in first.metrics[0].occurrences.list()]
    assert noted[1:3] == ["was assigned p-in[0,1]", "gave back p-in[0,1]"]


@in_virtual_time
async def test_of_many_partitions_that_come_only_their_number_is_noted() -> None:
    stage = service(await broker_for("p", partitions=MOST_LISTED + 1), one_stage(same))
    async with running(stage):
        await until(lambda: stage.metrics[0].rebalances == 1)
    noted = [one.told for one in stage.metrics[0].occurrences.list()]
    assert f"was assigned {MOST_LISTED + 1} partitions" in noted
