"""A request to write is encoded as the client's own, with one copy of its batches."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.producer import sender
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.kafka.produce_request import encode_once, encoded
from streamapp.brokers.protocols import ProducerConfig
from streamapp.settings import KafkaSettings

PRODUCE = ProduceRequest.API_KEY
VERSIONS = [one.API_VERSION for one in ProduceRequest._CLASSES]


async def sent(request: Any) -> Any:
    """What a client that encodes once gives to its connection."""
    passed: list[Any] = []

    async def send(node_id: int, given: Any, *, group: int = 0) -> None:
        passed.extend((node_id, given, group))

    client = SimpleNamespace(send=send)
    encode_once(client)
    await client.send(3, request, group=1)
    node_id, found, group = passed
    assert (node_id, group) == (3, 1)
    return found


@pytest.mark.parametrize("version", VERSIONS)
@given(
    topics=st.lists(
        st.tuples(
            st.text(max_size=3),
            st.lists(st.tuples(st.integers(0, 9), st.none() | st.binary(max_size=9)), max_size=3),
        ),
        max_size=3,
    ),
    transactional_id=st.none() | st.text(max_size=3),
    wait_ms=st.integers(0, 2**31 - 1),
)
async def test_a_request_has_the_bytes_of_the_clients_own(
    version: int,
    topics: Sequence[tuple[str, list[tuple[int, bytes | None]]]],
    transactional_id: str | None,
    wait_ms: int,
) -> None:
    given_id = transactional_id if version >= 3 else None
    ours = (await sent(ProduceRequest(given_id, -1, wait_ms, list(topics)))).prepare(
        {PRODUCE: (version, version)}
    )
    theirs = ProduceRequest(given_id, -1, wait_ms, list(topics)).prepare(
        {PRODUCE: (version, version)}
    )
    assert ours.encode() == theirs.encode() == encoded(theirs)
    assert version == ours.API_VERSION
    assert ours.RESPONSE_TYPE is theirs.RESPONSE_TYPE
    headers = [one.build_request_header(1, "c").encode() for one in (ours, theirs)]
    assert headers[0] == headers[1]


async def test_batches_are_copied_once_and_what_is_changed_later_is_not_sent() -> None:
    batch = bytearray(b"records")
    request = await sent(ProduceRequest(None, -1, 1000, [("t", [(0, batch)])]))
    encoded_before = request.prepare({PRODUCE: (0, 8)}).encode()
    batch[:] = b"changed"
    assert b"records" in encoded_before
    assert b"changed" in request.prepare({PRODUCE: (0, 8)}).encode()


async def test_other_requests_are_left_alone() -> None:
    request = MetadataRequest(["t"])
    assert await sent(request) is request
    assert type(request) is MetadataRequest


async def test_the_producer_of_a_stage_encodes_once() -> None:
    broker = KafkaBroker(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    producer = broker.producer(ProducerConfig())
    client = producer._make_client()
    assert client._sender.client is client.client
    assert client.client.send.__qualname__.startswith("encode_once")
    assert sender.ProduceRequest is ProduceRequest  # of other producers in this process
    await client.stop()
