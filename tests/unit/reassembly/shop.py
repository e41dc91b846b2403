"""A shop whose orders are checked and priced by agents that can be made to fail."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from streamapp.brokers.protocols import TopicSpec
from streamapp.clock import Clock
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.capability import Capability
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from streamapp.reassembly.config import Reassembly
from streamapp.registry.assemble import Assembled, Options, assemble
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import Scores
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import Longest, broker_with

CHECK, PRICE = Capability.DATA_VALIDATION, Capability.DATA_ENRICHMENT
STAGES = ("data_validation", "data_enrichment")
TOPICS = ("orders", "priced", "shop.data_validation", *(f"shop.{one}.dlq" for one in STAGES))
QUICK = retry(2, backoff=Backoff(base_seconds=0.1, max_seconds=0.2))
OPEN_SECONDS = 60.0


class Order(BaseModel):
    n: int


class Priced(BaseModel):
    n: int
    by: str


class Pricer:
    """Prices orders under its own name, unless it is down or does not open.

    Attributes:
        down: ids of those that are down.
        refusing: ids of those that do not open.
        waits: seconds of each call.
        notes: what happened to them.
        poison: numbers of orders that no agent can price.
    """

    down: ClassVar[set[str]] = set()
    refusing: ClassVar[set[str]] = set()
    notes: ClassVar[list[str]] = []
    calls: ClassVar[Counter[str]] = Counter()
    poison: ClassVar[frozenset[int]] = frozenset()
    waits: ClassVar[float] = 0.01

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id

    async def open(self) -> None:
        if self.agent_id in self.refusing:
            raise OSError(f"{self.agent_id} cannot connect")
        self.notes.append(f"open {self.agent_id}")

    async def close(self) -> None:
        self.notes.append(f"close {self.agent_id}")

    async def __call__(self, order: Order) -> Priced:
        self.calls[self.agent_id] += 1
        await asyncio.sleep(self.waits)
        if self.agent_id in self.down:
            raise OSError(f"{self.agent_id} is down")
        if order.n in self.poison:
            raise ValueError(f"order {order.n} has no price")
        return Priced(n=order.n, by=self.agent_id)


def reset() -> None:
    """Forget what happened to all pricers."""
    Pricer.down, Pricer.refusing, Pricer.notes = set(), set(), []
    Pricer.calls, Pricer.poison, Pricer.waits = Counter(), frozenset(), 0.01


def pricer(agent_id: str) -> Agent[Order, Priced]:
    return agent(name=agent_id, capabilities=[PRICE])(Pricer(agent_id))


@agent(capabilities=[CHECK])
def check(order: Order) -> Order:
    return order


@agent(name="check-too", capabilities=[CHECK])
def check_too(order: Order) -> Order:
    return order


def registry_of(*pricers: str, others: Iterable[Any] = (check,)) -> AgentRegistry:
    registry = AgentRegistry()
    for one in (*others, *map(pricer, pricers)):
        registry.register(one)
    return registry


def assembled(
    registry: AgentRegistry,
    scores: Scores,
    *,
    fused: bool = False,
    options: Options | None = None,
    **more: Any,
) -> Assembled:
    """Orders that are checked and then priced."""
    settings: dict[int, dict[str, Any]] = {
        1: {"on_error": QUICK},
        2: {"on_error": QUICK, "fused": fused},
    }
    return assemble(
        registry,
        "shop",
        [CHECK, PRICE],
        source=Topic("orders", Order),
        sink="priced",
        scores=scores,
        options=options or Options(settings=settings),
        **more,
    )


async def shop_broker(partitions: int = 1, clock: Clock | None = None) -> FaultyBroker:
    """A broker with the topics of the shop; on the clock of the virtual loop by default."""
    reset()
    broker = await broker_with() if clock is None else FaultyBroker(clock)
    await broker.admin().create_topics([TopicSpec(name, partitions) for name in TOPICS])
    return broker


def shop_service(
    broker: FaultyBroker,
    *pipelines: Assembled,
    config: RuntimeConfig | None = None,
    bundle: str | None = None,
    **settings: Any,
) -> Service:
    """A service on the clock of its broker, which replaces agents after a minute."""
    reassembly = Reassembly(**{"open_seconds": OPEN_SECONDS, **settings})
    return Service(
        broker,
        pipelines,
        clock=broker.clock,
        rng=Longest(1),
        config=config,
        reassembly=reassembly,
        bundle=bundle,
    )


async def order(broker: FaultyBroker, numbers: Iterable[int], keys: int = 5) -> None:
    """Write orders, of so many keys in turn."""
    records = ((b"k%d" % (n % keys), Order(n=n).model_dump_json().encode()) for n in numbers)
    await broker.write("orders", *records)


def prices(broker: FaultyBroker, partitions: int = 1) -> list[Priced]:
    """What was written, in the order of each partition."""
    return [
        Priced.model_validate_json(value or b"")
        for partition in range(partitions)
        for value in broker.values("priced", partition)
    ]


def assert_in_order_once(found: Sequence[Priced], count: int, keys: int = 5) -> None:
    """Require each order exactly once, and those of a key in their order."""
    assert sorted(one.n for one in found) == list(range(count))
    for key in range(keys):
        own = [one.n for one in found if one.n % keys == key]
        assert own == sorted(own)
