"""A drain finishes what can be finished in time, and does not wait for the rest."""

import asyncio
from collections import Counter

import pytest

from streamapp.pipeline.agent import Agent, agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from streamapp.runtime.config import RuntimeConfig
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

DRAIN_SECONDS = 15.0


class FailsOnce:
    """An agent whose first attempt takes a second and fails."""

    def __init__(self) -> None:
        self.calls: Counter[bytes] = Counter()

    def agent(self) -> Agent[bytes, bytes]:
        @agent
        async def fail_once(value: bytes) -> bytes:
            self.calls[value] += 1
            await asyncio.sleep(1)
            if self.calls[value] == 1:
                raise OSError
            return value

        return fail_once


async def stopped_in_the_first_attempt(
    wait_seconds: float,
) -> tuple[float, list[bytes | None], int]:
    """Seconds of the drain, what came out, and what was committed; two records, of two keys."""
    broker, fails_once = await broker_for("p"), FailsOnce()
    backoff = Backoff(base_seconds=wait_seconds, max_seconds=wait_seconds)
    config = RuntimeConfig(shutdown_drain_seconds=DRAIN_SECONDS)
    topology = one_stage(fails_once.agent(), retry(3, backoff=backoff))
    stage = service(broker, topology, config=config)
    async with running(stage) as task:
        await broker.write("p-in", (b"a", b"a"), (b"b", b"b"))
        await until(lambda: fails_once.calls.total() == 2)
        began_at = loop().time()
        stage.stop()
        await task
    return loop().time() - began_at, broker.values("p-out"), await broker.committed("p.stage")


@in_virtual_time
async def test_a_retry_that_arises_during_a_drain_does_not_hold_it_up() -> None:
    seconds, came, committed = await stopped_in_the_first_attempt(DRAIN_SECONDS + 1)
    assert seconds == pytest.approx(1, abs=0.1)  # until the attempts have failed
    assert (came, committed) == ([], 0)


@in_virtual_time
async def test_a_retry_that_is_due_within_the_deadline_of_a_drain_is_made() -> None:
    seconds, came, committed = await stopped_in_the_first_attempt(2)
    assert seconds == pytest.approx(4, abs=0.1)
    assert (came, committed) == ([b"a", b"b"], 2)
