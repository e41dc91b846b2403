"""Agents that take batches are replaced under load, on a broker, and by two workers."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.brokers.protocols import TopicSpec
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.capability import Capability
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from streamapp.reassembly.config import Reassembly
from streamapp.registry.assemble import Assembled, Options, assemble
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import Scores
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.contract.pipelines import QUICK, Item, Rig, eventually
from tests.kafka import unique_name
from tests.patience import within

CHECK, PRICE = Capability.DATA_VALIDATION, Capability.DATA_ENRICHMENT
STAGE = "data_enrichment"
PARTITIONS, KEYS, ROUND = 4, 12, 300


class Priced(BaseModel):
    n: int
    by: str


@agent(capabilities=[CHECK])
def check(item: Item) -> Item:
    return item


class Shop:
    """A pipeline whose second stage has agents that go and come, and the topics of it.

    Attributes:
        down: ids of the agents that are down.
        sizes: how many values each call was given.
    """

    def __init__(self, subject: Subject) -> None:
        self.rig = Rig(subject, unique_name("shop"))
        self.down: set[str] = set()
        self.sizes: Counter[int] = Counter()
        self.numbers = 0

    def pricer(self, agent_id: str, size: int, linger_seconds: float) -> Agent[Item, Priced]:
        async def price(items: list[Item]) -> list[Priced]:
            self.sizes[len(items)] += 1
            await asyncio.sleep(0.01)
            if agent_id in self.down:
                raise OSError(f"{agent_id} is down")
            return [Priced(n=item.n, by=agent_id) for item in items]

        return batch_agent(
            size=size, linger_seconds=linger_seconds, name=agent_id, capabilities=[PRICE]
        )(price)

    def registry(self) -> AgentRegistry:
        registry = AgentRegistry()
        registry.register(check)
        for agent_id, size, linger in (("a", 7, 0.05), ("b", 20, 0.5), ("c", 3, 0.0)):
            registry.register(self.pricer(agent_id, size, linger))
        return registry

    def assembled(self, registry: AgentRegistry) -> Assembled:
        policy = retry(2, backoff=Backoff(base_seconds=0.05, max_seconds=0.1))
        settings: dict[int, dict[str, Any]] = {n: {"on_error": policy} for n in (1, 2)}
        return assemble(
            registry,
            self.rig.name,
            [CHECK, PRICE],
            source=Topic(self.rig.source().name, Item),
            sink=self.rig.out,
            scores=Scores(),
            options=Options(settings=settings),
        )

    def service(self, registry: AgentRegistry, bundle: str | None = None) -> Service:
        reassembly = Reassembly(check_seconds=0.1, open_seconds=1.0)
        return Service(
            self.rig.subject.broker,
            [self.assembled(registry)],
            config=QUICK,
            reassembly=reassembly,
            bundle=bundle,
        )

    async def create(self) -> None:
        name = self.rig.name
        names = [self.rig.source().name, self.rig.out, f"{name}.data_validation"]
        names += [self.rig.dead_letters(stage) for stage in ("data_validation", STAGE)]
        async with self.rig.subject.admin() as admin:
            await admin.create_topics([TopicSpec(one, PARTITIONS) for one in names])

    async def put(self, count: int = ROUND) -> None:
        """Write more items; those of a key go to one partition."""
        new = range(self.numbers, self.numbers + count)
        self.numbers += count
        for partition in range(PARTITIONS):
            own = [n for n in new if n % PARTITIONS == partition]
            await self.rig.put_items(own, keys=KEYS, partition=partition)

    async def priced(self) -> list[Priced]:
        records = await self.rig.read(self.rig.out)
        return [Priced.model_validate_json(one.value or b"") for one in records]

    def assert_all_once_in_order(self, found: Sequence[Priced]) -> None:
        assert sorted(one.n for one in found) == list(range(self.numbers))
        for key in range(KEYS):
            own = [one.n for one in found if one.n % KEYS == key]
            assert own == sorted(own)


@pytest.fixture
async def shop(subject: Subject) -> Shop:
    made = Shop(subject)
    await made.create()
    return made


def running(stack: AsyncExitStack, service: Service) -> Service:
    """Run it until the stack ends."""
    task = asyncio.create_task(service.run())

    async def end() -> None:
        service.stop()
        async with within(2 * PATIENCE_SECONDS, "the service to stop", lambda: service.metrics):
            await task

    stack.push_async_callback(end)
    return service


def written(*services: Service) -> int:
    return sum(sum(one.metrics[1].records_out.values()) for one in services)


def agents_of(service: Service) -> list[str]:
    """The agents of the second stage."""
    [chain] = service.chains
    return [one.agent_id for one in chain.steps[1].scores]


@pytest.mark.parametrize("bundle", [None, "shops"])
async def test_batches_are_handed_over_whole_while_agents_go_one_after_the_other(
    shop: Shop, bundle: str | None
) -> None:
    registry = shop.registry()
    own = bundle and f"{shop.rig.name}-{bundle}"
    async with AsyncExitStack() as stack:
        service = running(stack, shop.service(registry, own))
        [first] = agents_of(service)
        for _ in range(2):
            [goes] = agents_of(service)
            await shop.put()
            await eventually(lambda: written(service) > shop.numbers - ROUND)
            registry.unregister(goes)
            await shop.put()
            await eventually(
                lambda goes=goes: agents_of(service) != [goes], seconds=4 * PATIENCE_SECONDS
            )
        await shop.put()  # what there was may have been finished by the one before
        await eventually(lambda: written(service) >= shop.numbers, seconds=4 * PATIENCE_SECONDS)
        sizes = service.metrics[1].batch_records
        assert sizes is not None
        assert sum(sizes.counts) == sum(shop.sizes.values())  # of all agents
        [last] = agents_of(service)
    assert max(shop.sizes) > 1
    found = await shop.priced()
    shop.assert_all_once_in_order(found)
    assert {first, last} <= {one.by for one in found}
    assert not await shop.rig.read(shop.rig.dead_letters(STAGE))


async def test_what_is_held_for_an_agent_that_stays_down_is_worked_on_by_another(
    shop: Shop,
) -> None:
    async with AsyncExitStack() as stack:
        service = running(stack, shop.service(shop.registry()))
        await shop.put()
        await eventually(lambda: written(service) == shop.numbers)
        [goes] = agents_of(service)
        shop.down = {goes}
        await shop.put()
        await eventually(lambda: service.metrics[1].held_since is not None)
        await eventually(lambda: written(service) == shop.numbers, seconds=4 * PATIENCE_SECONDS)
    shop.assert_all_once_in_order(await shop.priced())
    assert not await shop.rig.read(shop.rig.dead_letters(STAGE))


async def test_two_workers_replace_each_for_itself_and_nothing_is_lost(shop: Shop) -> None:
    registries = [shop.registry(), shop.registry()]
    async with AsyncExitStack() as stack:
        services = [running(stack, shop.service(registry)) for registry in registries]
        await eventually(lambda: all(one.metrics[1].rebalances for one in services))
        await shop.put()
        for _ in range(2):
            for registry, service in zip(registries, services, strict=True):
                [goes] = agents_of(service)
                registry.unregister(goes)
                await shop.put()
                await eventually(partial(_has_another, service, goes), seconds=4 * PATIENCE_SECONDS)
        await eventually(lambda: written(*services) >= shop.numbers, seconds=4 * PATIENCE_SECONDS)
    shop.assert_all_once_in_order(await shop.priced())


def _has_another(service: Service, agent_id: str) -> bool:
    return agents_of(service) != [agent_id]
