"""Letters are read to their end, or it is said why that is not possible."""

from contextlib import aclosing

import pytest

from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import TopicSpec
from streamapp.clock import SystemClock
from streamapp.dead_letter_tools.reading import read_letters, reading
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition

PLACE = TopicPartition("shop.check.dlq", 0)


@pytest.fixture
async def broker() -> MemoryBroker:
    broker = MemoryBroker(SystemClock())
    admin = broker.admin()
    await admin.start()
    await admin.create_topics([TopicSpec(PLACE.topic, 1)])
    await admin.stop()
    return broker


async def test_a_partition_of_which_nothing_comes_ends_the_reading_with_a_sentence(
    broker: MemoryBroker,
) -> None:
    with pytest.raises(BrokerError, match=r"'shop.check.dlq' partition 0 cannot be read: it ends"):
        async with aclosing(read_letters(broker, {PLACE: 3})) as letters:
            assert [letter async for letter in letters] == []


async def test_so_does_the_search_for_a_first_record(broker: MemoryBroker) -> None:
    async with reading(broker, [PLACE]) as reader:
        with pytest.raises(BrokerError, match="from offset 0 on nothing came for 30 s"):
            await reader.first_records({PLACE: 3}, {PLACE: 0})
