"""Attempts that suspend side by side: each keeps its key and its deadline."""

import asyncio

from streamapp.pipeline.agent import agent
from streamapp.policies.policy import dead_letter
from tests.contract.pipelines import error_headers
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service


@in_virtual_time
async def test_an_attempt_that_suspends_while_another_one_fails_keeps_its_key_and_deadline() -> (
    None
):
    broker, began = await broker_for("p"), list[bytes]()

    @agent
    async def obey(value: bytes) -> bytes:
        began.append(value)
        if value == b"fails":
            await asyncio.sleep(0)  # the other one begins in between
            raise ValueError
        if value == b"hangs":
            await asyncio.Event().wait()
        return value

    topology = one_stage(obey, dead_letter(), concurrency=2, timeout_seconds=5, breaker=None)
    stage = service(broker, topology)
    async with running(stage):
        await broker.write("p-in", (b"a", b"fails"), (b"b", b"hangs"), (b"b", b"follows"))
        await asyncio.sleep(3)
        assert began == [b"fails", b"hangs"]
        await until(lambda: len(broker.values("p.stage.dlq")) == 2)
        await until(lambda: broker.values("p-out") == [b"follows"])
    reasons = [error_headers(letter)["reason"] for letter in broker.records("p.stage.dlq")]
    assert reasons == ["failed", "timeout"]
