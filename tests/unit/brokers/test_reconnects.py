"""A client whose cluster is away connects and asks for metadata seldom."""

import asyncio

import pytest
from aiokafka.client import AIOKafkaClient

from streamapp.brokers.kafka.reach import Reach
from streamapp.brokers.kafka.reconnects import (
    LONGEST_WAIT_SECONDS,
    UNNAMED_WAIT_SECONDS,
    Reconnects,
    bound_reconnects,
)
from tests.unit.runtime.virtual import in_virtual_time, loop


def away() -> AIOKafkaClient:
    """A client that knows no node, so that each connect and each request fails at once."""
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    bound_reconnects(client, reach=Reach("a:1"))
    bound_reconnects(client, reach=Reach("a:1"))  # a client that is started again is bounded once
    return client


def connects(caplog: pytest.LogCaptureFixture) -> int:
    return sum(message.startswith("Unable connect to node") for message in caplog.messages)


@in_virtual_time
async def test_connects_to_a_node_that_is_away_become_rare(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = away()
    try:
        async with asyncio.timeout(60):
            while True:
                assert not await client.ready(7)
    except TimeoutError:
        pass
    assert 50 <= connects(caplog) <= 80


@in_virtual_time
async def test_many_who_wait_for_a_node_make_one_connect(caplog: pytest.LogCaptureFixture) -> None:
    client = away()
    for _ in range(5):
        assert set(await asyncio.gather(*(client.ready(7) for _ in range(30)))) == {False}
    assert connects(caplog) == 5


@in_virtual_time
async def test_nodes_wait_for_themselves_alone(caplog: pytest.LogCaptureFixture) -> None:
    client = away()
    for _ in range(10):
        await client.ready(7)
    before = loop().time()
    await client.ready(8)
    assert loop().time() == before
    assert connects(caplog) == 11


@in_virtual_time
async def test_requests_for_metadata_are_ten_a_second_after_the_first_ten() -> None:
    client = away()
    for _ in range(10):
        await client._metadata_update(client.cluster, set())
    assert loop().time() == 0
    for _ in range(100):
        await client._metadata_update(client.cluster, set())
    assert loop().time() == pytest.approx(10, abs=0.2)


def test_a_node_that_answers_is_connected_to_at_once_again() -> None:
    node = Reconnects()
    waits = []
    for _ in range(12):
        node.failed(100.0)
        waits.append(node.next_at - 100.0)
    assert waits[0] < 0.1
    assert max(waits) <= LONGEST_WAIT_SECONDS * 1.2
    assert min(waits[-3:]) >= LONGEST_WAIT_SECONDS * 0.8
    node.succeeded()
    assert node.next_at == 0.0
    node.failed(200.0)
    assert node.next_at - 200.0 < 0.1


@in_virtual_time
async def test_a_start_lasts_until_a_broker_is_named() -> None:
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    answers = iter([{}, {}, {3: "the broker"}])

    async def answered() -> None:
        client.cluster._brokers = next(answers)

    client.bootstrap = answered
    bound_reconnects(client, reach=Reach("a:1"))
    before = loop().time()
    await client.bootstrap()
    assert [*client.cluster.brokers()] == ["the broker"]
    assert loop().time() - before == pytest.approx(2 * UNNAMED_WAIT_SECONDS)
