"""The lookup in a compacted topic while its broker is away, and what else may befall it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streamapp.brokers.current import broker_in_use
from streamapp.brokers.protocols import ProducerConfig, TopicSpec
from streamapp.errors import (
    BrokerError,
    ConfigurationError,
    OffsetOutOfRangeError,
    Permanent,
    UnreadableRecordError,
)
from streamapp.record import TopicPartition
from tests.simulation.loop import VirtualClock
from tests.unit.agents.built import built, faults
from tests.unit.agents.services import opened
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import loop, on_virtual_clock

TITLES = TopicPartition("titles", 0)
CONFIGURATION = {"topic": "titles", "key": "title", "into": "name"}


async def _broker(*records: tuple[bytes | None, bytes | None]) -> FaultyBroker:
    broker = FaultyBroker(VirtualClock(loop()))
    compacted = {"cleanup.policy": "compact"}
    await broker.admin().create_topics([TopicSpec("titles", 1, config=compacted)])
    await _write(broker, *records)
    return broker


async def _write(broker: FaultyBroker, *records: tuple[bytes | None, bytes | None]) -> None:
    if not records:
        return
    producer = broker.producer(ProducerConfig())
    await producer.start()
    batch = producer.create_batch()
    for key, value in records:
        batch.append(timestamp=None, key=key, value=value)
    await (await producer.send_batch(batch, "titles", 0))
    await producer.stop()


@asynccontextmanager
async def _open(broker: FaultyBroker, **settings: Any) -> AsyncIterator[Any]:
    with broker_in_use(broker):
        async with opened(built("TopicLookup", {**CONFIGURATION, **settings})) as agent:
            yield agent


@on_virtual_clock
async def test_what_was_read_stays_in_use_while_the_broker_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await _broker((b"t1", b'"one"'))
    async with _open(broker) as lookup:
        broker.fetch_errors = [BrokerError("away")] * 3
        with caplog.at_level(logging.WARNING):
            await _write(broker, (b"t1", b'"two"'))
            await asyncio.sleep(10)
            assert lookup({"title": "t1"})["name"] == "one"
            await asyncio.sleep(20)
        assert lookup({"title": "t1"})["name"] == "two"
        told = [message for message in caplog.messages if "goes on with what it read" in message]
        assert len(told) == 1


@on_virtual_clock
async def test_it_opens_at_an_end_that_has_no_record_before_it() -> None:
    broker = await _broker((b"t1", b'"one"'))
    broker.skip_offsets(TITLES, 3)
    async with _open(broker) as lookup:
        assert lookup({"title": "t1"})["name"] == "one"


@on_virtual_clock
async def test_a_position_that_is_gone_is_read_from_the_beginning() -> None:
    broker = await _broker((b"t1", b'"one"'))
    async with _open(broker) as lookup:
        broker.fetch_errors = [OffsetOutOfRangeError("gone", offsets={TITLES: 1})]
        await _write(broker, (b"t2", b'"two"'))
        await asyncio.sleep(5)
        assert lookup({"title": "t1"})["name"] == "one"
        assert lookup({"title": "t2"})["name"] == "two"


@pytest.mark.parametrize("is_large", [True, False])
def test_what_cannot_be_followed_any_more_ends_the_agent(*, is_large: bool) -> None:
    @on_virtual_clock
    async def run() -> None:
        broker = await _broker((b"t1", b'"one"'))
        expected: type[Exception] = ConfigurationError if is_large else UnreadableRecordError

        async def follow() -> None:
            async with _open(broker, max_bytes=100):
                if is_large:
                    await _write(broker, (b"t2", b'"' + b"x" * 100 + b'"'))
                else:
                    unreadable = UnreadableRecordError("broken", partition=TITLES, offset=1)
                    broker.fetch_errors = [unreadable]
                await asyncio.sleep(60)

        with pytest.raises(ExceptionGroup) as raised:
            await follow()
        assert raised.group_contains(expected)

    run()


@on_virtual_clock
async def test_bytes_that_are_replaced_or_deleted_no_longer_count() -> None:
    broker = await _broker()
    async with _open(broker, max_bytes=40) as lookup:
        for name in (b'"first name"', b'"second name"', None, b'"third name"'):
            await _write(broker, (b"t1", name), (b"t2", name))
            await asyncio.sleep(2)
        assert lookup({"title": "t2"})["name"] == "third name"


@on_virtual_clock
async def test_a_value_that_is_no_json_is_the_fault_of_who_asks_for_it() -> None:
    broker = await _broker((b"t1", b"{"), (b"t2", b'"two"'), (b"t3", b"NaN"))
    async with _open(broker) as lookup:
        for title in ("t1", "t3"):
            with pytest.raises(Permanent, match="has something else than JSON for it"):
                lookup({"title": title})
        assert lookup({"title": "t2"})["name"] == "two"


async def test_without_a_broker_it_cannot_be_opened() -> None:
    agent = built("TopicLookup", CONFIGURATION)
    assert agent.lifecycle is not None
    with pytest.raises(ConfigurationError, match="there is no broker here"):
        await agent.lifecycle.open()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"topic": ""}, "topic: string should have at least 1 character"),
        ({"max_bytes": 0}, "max_bytes: should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_told_with_its_path(settings: dict[str, Any], why: str) -> None:
    assert why in faults("TopicLookup", {**CONFIGURATION, **settings})[0]
