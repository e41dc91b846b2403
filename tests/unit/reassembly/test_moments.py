"""Whichever moment a replacement falls on, every record ends as it would have without one."""

import asyncio
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.policies.policy import dead_letter
from streamapp.registry.assemble import Options
from streamapp.registry.scores import Scores
from tests.unit.reassembly.shop import (
    QUICK,
    Pricer,
    assembled,
    order,
    prices,
    registry_of,
    shop_broker,
    shop_service,
)
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import in_virtual_time

COUNT = 60
POISON = frozenset({7, 20, 21, 44})


def letters(broker: FaultyBroker) -> list[int]:
    """The orders that became dead letters."""
    found = (broker.values("shop.data_enrichment.dlq", partition) for partition in range(2))
    return sorted(json.loads(value or b"")["n"] for own in found for value in own)


@pytest.mark.parametrize("fused", [False, True])
@settings(max_examples=12)
@given(
    moments=st.lists(st.floats(0.0, 4.0), min_size=1, max_size=3),
    check_seconds=st.sampled_from([0.05, 0.3]),
    concurrency=st.sampled_from([1, 8]),
    waits=st.sampled_from([0.0, 0.05, 0.4]),
    bundle=st.sampled_from([None, "shops"]),
)
def test_each_record_ends_once_and_keys_keep_their_order(
    fused: bool,
    moments: list[float],
    check_seconds: float,
    concurrency: int,
    waits: float,
    bundle: str | None,
) -> None:
    @in_virtual_time
    async def run() -> None:
        broker = await shop_broker(partitions=2)
        Pricer.poison, Pricer.waits = POISON, waits
        ids = ["a", "b", "c", "d"]
        registry = registry_of(*ids)
        steps = {
            1: {"on_error": QUICK, "concurrency": concurrency},
            2: {"on_error": dead_letter(), "fused": fused},
        }
        if not fused:
            steps[2]["concurrency"] = concurrency
        made = assembled(registry, Scores(clock=broker.clock), options=Options(settings=steps))
        service = shop_service(broker, made, check_seconds=check_seconds, bundle=bundle)
        await order(broker, range(COUNT))

        async def unregister() -> None:
            for agent_id, seconds in zip(ids, moments, strict=False):
                await asyncio.sleep(seconds)
                registry.unregister(agent_id)

        async with asyncio.TaskGroup() as group:
            group.create_task(unregister())
            await service.run(until_end=True)
        priced = prices(broker, 2)
        assert letters(broker) == sorted(POISON)
        assert Counter(one.n for one in priced) == Counter(set(range(COUNT)) - POISON)
        for key in range(5):
            own = [one.n for one in priced if one.n % 5 == key]
            assert own == sorted(own)
        for agent_id in ids:
            notes = [note for note in Pricer.notes if note.endswith(f" {agent_id}")]
            assert notes in ([], [f"open {agent_id}", f"close {agent_id}"])

    run()
