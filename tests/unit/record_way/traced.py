"""Runs pipelines on the memory broker, and follows records through them."""

from typing import Any

from streamapp.brokers.protocols import TopicSpec
from streamapp.dead_letter_tools.fates import Sorting
from streamapp.dead_letter_tools.reading import ends_of_letters
from streamapp.dead_letter_tools.sending import LedgerWriter, Sender
from streamapp.dead_letter_tools.targets import Targets
from streamapp.letters.selection import Selection
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.record_way.follow import follow
from streamapp.record_way.found import parsed_address
from streamapp.record_way.search import Bounds
from streamapp.record_way.way import Visit, Way
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import broker_with, service


def source(name: str = "in", **options: Any) -> Pipeline[Any, Any]:
    return Pipeline("p", source=Topic(name, bytes), **options)


async def broker_of(*topologies: Topology, partitions: int = 1) -> FaultyBroker:
    """A broker with all topics of these pipelines."""
    names = {name for one in topologies for name in one.topics()}
    return await broker_with(*sorted(names), partitions=partitions)


async def traced(
    broker: FaultyBroker, address: str, *topologies: Topology, bounds: Bounds | None = None
) -> Way:
    """The way of a record; no group is made or changed by it."""
    admin = broker.admin()
    before = {name: await admin.committed_offsets(name) for name in await admin.list_groups()}
    way = await follow(
        parsed_address(address), topologies, broker, admin, broker.clock, bounds=bounds or Bounds()
    )
    after = {name: await admin.committed_offsets(name) for name in await admin.list_groups()}
    assert after == before
    return way


async def run(broker: FaultyBroker, *pipelines: Topology) -> None:
    await service(broker, *pipelines).run(until_end=True)


async def send_back(broker: FaultyBroker, topic: str, *topologies: Topology) -> None:
    """Send all dead letters of a topic back to their stages."""
    admin = broker.admin()
    writer = LedgerWriter(broker, admin, topic)
    await writer.start()
    sorting = Sorting(Selection(), Targets(topologies))
    sender = Sender(writer, admin, sorting, "r1", broker.clock)
    await sender.send(broker, await ends_of_letters(admin, topic))
    await writer.stop()


def outputs(visit: Visit) -> list[tuple[str, str, str]]:
    """Where the outputs stand, how certain they are, and by what."""
    return [
        (str(one.link.found.address), str(one.link.certainty), one.link.by) for one in visit.outputs
    ]


__all__ = ["TopicSpec", "broker_of", "build", "outputs", "run", "send_back", "source", "traced"]
