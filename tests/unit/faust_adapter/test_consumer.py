"""The consumer of a stage whose topics Faust reads, over a consumer that plays Faust's."""

import asyncio
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from streamapp.brokers.protocols import CommittedOffset, ConsumerConfig
from streamapp.errors import BrokerError
from streamapp.faust_adapter.committed_reads import Gaps
from streamapp.faust_adapter.consumer import FaustConsumer
from streamapp.faust_adapter.sends import Sends
from streamapp.record import TopicPartition

ORDERS = TopicPartition("orders", 0)
GENERATION = 7


class Faust:
    """Plays the application and its consumer, which seeks after it has told of an assignment."""

    def __init__(self, committed: int | None) -> None:
        self.name = "shop"
        self.app = SimpleNamespace(consumer=self, consumer_generation_id=GENERATION)
        self.stored: dict[TopicPartition, int] = {}
        self.gaps = Gaps()
        self.seeks: list[tuple[TopicPartition, int]] = []
        self.sends = Sends()
        self._committed = committed

    def require_running(self) -> None:
        """It runs."""

    async def seek(self, place: Any, offset: int) -> None:
        self.seeks.append((TopicPartition(*place), offset))

    async def seek_to_committed(self) -> Mapping[Any, int | None]:
        return {tuple(ORDERS): self._committed, ("shop-spent-changelog", 0): None}

    async def earliest_offsets(self, *places: Any) -> Mapping[Any, int]:
        return dict.fromkeys(places, 0)

    async def _commit_offsets(self, offsets: Mapping[Any, int]) -> bool:
        self.stored |= {TopicPartition(*place): offset for place, offset in offsets.items()}
        return True


class Listener:
    async def on_partitions_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """What a segment does then is not looked at here."""

    async def on_partitions_revoked(self, partitions: Collection[TopicPartition]) -> None:
        """The same."""


def message(offset: int, *, generation: int = GENERATION) -> Any:
    return SimpleNamespace(
        topic="orders",
        partition=0,
        offset=offset,
        generation_id=generation,
        timestamp=1.0,
        key=b"ann",
        value=b"{}",
        headers=None,
    )


async def consumer_of(faust: Any) -> FaustConsumer:
    config = ConsumerConfig("shop", ("orders",))
    consumer = FaustConsumer(faust, config, Listener())
    await consumer.assigned(frozenset({ORDERS, TopicPartition("shop-spent-changelog", 0)}))
    return consumer


async def fetched(consumer: FaustConsumer) -> list[int]:
    found = await consumer.fetch([ORDERS], max_records=10, timeout_seconds=0)
    return [record.offset for record in found.get(ORDERS, ())]


async def test_a_stage_begins_where_the_group_stands_before_faust_reads_anything() -> None:
    consumer = await consumer_of(Faust(committed=3))
    assert consumer.assignment() == {ORDERS}
    assert consumer.committed(ORDERS) == CommittedOffset(3)
    assert await consumer.position(ORDERS) == 3


@pytest.mark.parametrize("committed", [None, 0, -1])
async def test_a_group_without_a_commit_begins_at_the_beginning(committed: int | None) -> None:
    consumer = await consumer_of(Faust(committed))
    assert consumer.committed(ORDERS) is None
    assert await consumer.position(ORDERS) == 0


async def test_the_position_is_past_a_marker_when_every_record_before_it_was_given() -> None:
    faust = Faust(committed=3)
    consumer = await consumer_of(faust)
    faust.gaps.fetched(ORDERS, 3, 6, last=4)  # the marker of a transaction is at 5
    assert await consumer.position(ORDERS) == 3
    for offset in (3, 4):
        await consumer.take(message(offset))
    assert await consumer.position(ORDERS) == 3
    assert await fetched(consumer) == [3, 4]
    assert await consumer.position(ORDERS) == 6


async def test_a_record_that_faust_reads_again_is_given_once() -> None:
    consumer = await consumer_of(Faust(committed=3))
    for offset in (3, 4, 3, 4, 5):
        await consumer.take(message(offset))
    assert await fetched(consumer) == [3, 4, 5]


async def test_a_record_of_an_earlier_assignment_is_not_given() -> None:
    consumer = await consumer_of(Faust(committed=3))
    await consumer.take(message(3, generation=GENERATION - 1))
    assert await fetched(consumer) == []
    await consumer.take(message(3))
    await consumer.revoked()
    assert await fetched(consumer) == []
    assert consumer.assignment() == frozenset()


async def test_records_are_given_again_from_an_offset_that_is_not_committed() -> None:
    faust = Faust(committed=None)
    consumer = await consumer_of(faust)
    for offset in range(4):
        await consumer.take(message(offset))
    assert await fetched(consumer) == [0, 1, 2, 3]
    await consumer.commit({ORDERS: CommittedOffset(2)})
    assert faust.stored == {ORDERS: 2}
    consumer.seek(ORDERS, 2)
    assert await consumer.position(ORDERS) == 2
    assert await fetched(consumer) == [2, 3]


async def test_records_that_faust_has_fetched_and_dropped_are_read_again() -> None:
    faust = Faust(committed=3)
    consumer = await consumer_of(faust)
    faust.gaps.begun(ORDERS, 5, 5)  # 3 and 4 were in a fetch before, of which nothing came
    for offset in (5, 6):
        await consumer.take(message(offset))
    assert await fetched(consumer) == []
    assert faust.seeks == [(ORDERS, 3)]
    faust.gaps.begun(ORDERS, 3, 3)
    for offset in (3, 4, 5, 6):
        await consumer.take(message(offset))
    assert await fetched(consumer) == [3, 4, 5, 6]
    assert faust.seeks == [(ORDERS, 3)]


async def test_offsets_without_records_are_no_records_that_were_dropped() -> None:
    faust = Faust(committed=3)
    consumer = await consumer_of(faust)
    faust.gaps.begun(ORDERS, 5, 3)  # compaction has removed 3 and 4
    await consumer.take(message(5))
    faust.gaps.fetched(ORDERS, 6, 8, last=None)  # markers of transactions, and nothing else
    faust.gaps.begun(ORDERS, 8, 8)
    await consumer.take(message(8))
    assert await fetched(consumer) == [5, 8]
    assert faust.seeks == []


async def test_at_the_end_of_a_rebalance_faust_reads_from_where_the_stage_is() -> None:
    faust = Faust(committed=None)
    consumer = await consumer_of(faust)
    await consumer.read_again()
    await consumer.take(message(0))
    await consumer.read_again()
    assert faust.seeks == [(ORDERS, 0), (ORDERS, 1)]
    await consumer.revoked()
    await consumer.read_again()
    assert len(faust.seeks) == 2


async def test_nothing_is_committed_until_kafka_has_what_was_sent_before() -> None:
    faust = Faust(committed=None)
    consumer = await consumer_of(faust)
    change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    faust.sends.add("shop-spent-changelog", change)
    committing = asyncio.create_task(consumer.commit({ORDERS: CommittedOffset(2)}))
    await asyncio.sleep(0.05)
    assert faust.stored == {}
    change.set_result(None)
    await committing
    assert faust.stored == {ORDERS: 2}


async def test_after_a_change_that_was_not_written_nothing_is_committed_any_more() -> None:
    faust = Faust(committed=None)
    consumer = await consumer_of(faust)
    change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    faust.sends.add("shop-spent-changelog", change)
    committing = asyncio.create_task(consumer.commit({ORDERS: CommittedOffset(2)}))
    await asyncio.sleep(0)
    change.set_exception(OSError("too large"))
    with pytest.raises(BrokerError, match="could not write to shop-spent-changelog: OSError"):
        await committing
    with pytest.raises(BrokerError, match="could not write to shop-spent-changelog"):
        await consumer.commit({ORDERS: CommittedOffset(3)})
    assert faust.stored == {}
