"""The broker stops answering while a stage drains for another agent."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.contract.conftest import kafka_subject
from tests.contract.pipelines import eventually
from tests.contract.test_replaced_agents import Shop, agents_of, running, written
from tests.kafka import Kafka, running_kafka

CHECK_SECONDS = 0.15
"""By then the reassembler has seen that the agent is gone, and the stage drains."""
LOST_REGISTRATION_SECONDS = 12
"""A broker that stands still for 9 s loses its registration, and has to register anew."""


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Kafka]:
    """A broker that the test freezes."""
    with running_kafka(tmp_path / "broker") as kafka:
        yield kafka


async def test_a_stage_goes_on_with_another_agent_after_an_outage_in_its_drain(
    fragile: Kafka,
) -> None:
    shop = Shop(kafka_subject(fragile))
    await shop.create()
    status = fragile.broker.status()
    assert status is not None
    [process] = status.pids
    registry = shop.registry()
    async with AsyncExitStack() as stack:
        service = running(stack, shop.service(registry))
        [goes] = agents_of(service)
        await shop.put(3000)
        await eventually(lambda: written(service) > 100)
        registry.unregister(goes)
        await asyncio.sleep(CHECK_SECONDS)
        os.kill(process, signal.SIGSTOP)
        try:
            await asyncio.sleep(LOST_REGISTRATION_SECONDS)
        finally:
            os.kill(process, signal.SIGCONT)
        # A client that starts now is answered, but no broker is named to it at first.
        assert await shop.priced()
        await eventually(lambda: agents_of(service) != [goes], seconds=60)

        async def all_are_priced() -> bool:
            # What was not acknowledged is written again, so what was written says less.
            return {one.n for one in await shop.priced()} == set(range(shop.numbers))

        await eventually(all_are_priced, seconds=120)
