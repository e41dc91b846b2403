"""Follows a record, back to where it is from, and on to all that became of it."""

from collections.abc import Callable, Sequence

from streamapp.brokers.protocols import Admin, ReadingBroker
from streamapp.clock import Clock
from streamapp.pipeline.topology import Topology
from streamapp.record_way.ascent import Ascent
from streamapp.record_way.asked_record import asked_record
from streamapp.record_way.descent import Descent
from streamapp.record_way.found import Address
from streamapp.record_way.neighbours import Neighbours
from streamapp.record_way.search import Bounds, Gathered, Search
from streamapp.record_way.way import Way


async def follow(
    asked: Address,
    topologies: Sequence[Topology],
    broker: ReadingBroker,
    admin: Admin,
    clock: Clock,
    *,
    bounds: Bounds,
    on_read: Callable[[int, int], None] = lambda _count, _total: None,
) -> Way:
    """Find the way of a record. Nothing is written or committed, and no group is joined.

    The way begins with the record of which all others were made, if it is known; else with the
    record that was asked for.

    Args:
        asked: the record.
        topologies: the pipelines whose stages may have read or written it.
        broker: has the topics.
        admin: asks for offsets.
        clock: the time.
        bounds: how much is read at most.
        on_read: told how many more records were read, and how many are to be read in all.

    Raises:
        TopicError: there is no such topic or record.
        ConfigurationError: no stage of the pipelines reads or writes the topic.
        BrokerError: Kafka does not answer.
    """
    search = Search(broker, admin, clock, bounds, on_read)
    neighbours = Neighbours(topologies, await admin.list_topics())
    told = Gathered()
    found = await asked_record(admin, search, neighbours, asked)
    origins = await Ascent(admin, search, neighbours, told).origins(found)
    known = [one[0].found for one in origins if len(one) == 1]
    start = known[-1] if known else found
    stop = await Descent(admin, search, neighbours, told).follow(start)
    return Way(found, origins, stop, told.unread, told.broken)
