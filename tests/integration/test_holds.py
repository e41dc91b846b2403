"""Keys that fail for reasons of their own, few and many, on a real Kafka.

What became of every record is read with a plain client.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

import pytest
from aiokafka import ConsumerRecord

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from tests.contract.conftest import kafka_subject
from tests.contract.pipelines import Item, Rig, error_headers, eventually
from tests.kafka import Kafka, unique_name
from tests.pages import Pages
from tests.verifier.drain import drain

KEYS = 90
RECORDS = 9 * KEYS
POLICY = retry(2, backoff=Backoff(base_seconds=0.1, max_seconds=0.2))
PATIENCE_SECONDS = 60.0

pytestmark = pytest.mark.timeout(180)


class LookUp:
    """An agent with a bug: of every three keys, `failing` fail with an error that says nothing."""

    def __init__(self, *, failing: int) -> None:
        self.failing = failing
        self.failed: Counter[int] = Counter()

    def is_for(self, number: int) -> bool:
        return number % KEYS % 3 < self.failing

    async def __call__(self, item: Item) -> Item:
        await asyncio.sleep(0.001 * (item.n % 4))
        if self.is_for(item.n):
            self.failed[item.n] += 1
            raise LookupError(f"nothing is known of {item.n}")
        return item


@pytest.fixture
def rig(kafka: Kafka) -> Rig:
    return Rig(kafka_subject(kafka), unique_name("holds"))


def declared(rig: Rig, look_up: LookUp) -> Pipeline[Item, Item]:
    step: Agent[Item, Item] = agent(name="look-up")(look_up)
    return rig.pipeline().stage(step, on_error=POLICY, concurrency=16).sink(rig.out)


async def found_in(kafka: Kafka, topic: str) -> Sequence[ConsumerRecord]:
    return [record async for record in drain(kafka.bootstrap_servers, topic)]


def assert_each_once_and_in_order(records: Sequence[ConsumerRecord], expected: set[int]) -> None:
    numbers = [json.loads(record.value)["n"] for record in records]
    assert Counter(numbers) == Counter(expected)
    for key in range(KEYS):
        own = [number for number in numbers if number % KEYS == key]
        assert own == sorted(own)


async def test_a_third_of_the_keys_becomes_dead_letters_and_the_rest_flows(
    kafka: Kafka, rig: Rig
) -> None:
    broken = LookUp(failing=1)
    pipeline = declared(rig, broken)
    await rig.create(pipeline)
    bad = {number for number in range(RECORDS) if broken.is_for(number)}
    async with rig.running(pipeline) as service, Pages.of(service) as pages:
        await rig.put_items(range(RECORDS), keys=KEYS)
        metrics = service.metrics[0]
        await eventually(lambda: metrics.dead_lettered == len(bad), seconds=PATIENCE_SECONDS)
        await eventually(lambda: metrics.processed == RECORDS - len(bad), seconds=PATIENCE_SECONDS)
        await eventually(lambda: metrics.lag_records == 0, seconds=PATIENCE_SECONDS)
        assert (await pages.verdict("readyz"))[0] == 200
        assert await pages.sample("streamapp_dead_letters_total", reason="exhausted") == len(bad)
        assert await pages.sample("streamapp_breaker_state", breaker="closed") == 1
    assert_each_once_and_in_order(await found_in(kafka, rig.out), set(range(RECORDS)) - bad)
    letters = await found_in(kafka, rig.dead_letters("look-up"))
    assert_each_once_and_in_order(letters, bad)
    assert {error_headers(letter)["class"] for letter in letters} == {"LookupError"}
    assert min(broken.failed[number] for number in bad) == 3  # no attempt was spared


async def test_two_thirds_of_the_keys_are_held_and_told_and_done_after_a_repair(
    kafka: Kafka, rig: Rig
) -> None:
    broken = LookUp(failing=2)
    await rig.create(declared(rig, broken))
    async with rig.running(declared(rig, broken)) as service, Pages.of(service) as pages:
        await rig.put_items(range(RECORDS), keys=KEYS)
        metrics = service.metrics[0]
        # Each failing probe finds that it goes on, and lengthens the wait before the next.
        await eventually(lambda: metrics.probes > 2, seconds=PATIENCE_SECONDS)
        await assert_told(pages)
        assert metrics.holds == 1
        assert metrics.dead_lettered == 0
    assert len(broken.failed) > 10  # keys: it takes more than half of twenty
    before = await found_in(kafka, rig.out)
    assert len(before) < RECORDS // 3
    repaired = LookUp(failing=0)
    async with rig.running(declared(rig, repaired)) as service, Pages.of(service) as pages:
        metrics = service.metrics[0]
        await eventually(lambda: metrics.lag_records == 0, seconds=PATIENCE_SECONDS)
        assert (await pages.verdict("readyz"))[0] == 200
        assert await pages.sample("streamapp_held_seconds") == 0
    assert_each_once_and_in_order(await found_in(kafka, rig.out), set(range(RECORDS)))
    assert await found_in(kafka, rig.dead_letters("look-up")) == []


async def assert_told(pages: Pages) -> None:
    """Not ready, alive, and everywhere with the reason."""
    why = "in stage 'look-up' most keys fail, now with LookupError"
    code, reason = await pages.verdict("readyz")
    assert (code, why in reason) == (503, True), reason
    code, reason = await pages.verdict("healthz")
    assert (code, why in reason) == (200, True), reason
    [stage] = await pages.status()
    assert why in stage["reason"]
    assert await pages.sample("streamapp_held_seconds") > 0
    assert await pages.sample("streamapp_holds_total") == 1
    assert await pages.sample("streamapp_probes_total") > 2
    assert await pages.sample("streamapp_breaker_state", breaker="closed") == 0
