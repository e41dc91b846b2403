"""The names of all topics are read from a Metadata response as aiokafka encodes one."""

import struct
from io import BytesIO

import pytest
from aiokafka.protocol.metadata import MetadataResponse_v4

from streamapp.brokers.kafka.topic_names import TopicNamesResponse


def encoded(rack: str | None = None, cluster: str | None = "c") -> bytes:
    def topic(name: str, partitions: int, *, internal: bool = False) -> tuple[object, ...]:
        replicas = [(0, i, 1, list(range(i + 1)), [1] * (i % 3)) for i in range(partitions)]
        return (0, name, internal, replicas)

    brokers = [(1, "host", 9092, rack), (2, "other", 9093, None)]
    topics = [
        topic("playback.eu", 3),
        topic("__consumer_offsets", 2, internal=True),
        topic("leaving", 0),
        topic("überall", 1),
    ]
    body: bytes = MetadataResponse_v4(0, brokers, cluster, 1, topics).encode()
    return body


@pytest.mark.parametrize(("rack", "cluster"), [(None, "c"), ("r1", None), ("", "")])
def test_only_names_are_read_and_internal_topics_left_out(
    rack: str | None, cluster: str | None
) -> None:
    body = encoded(rack, cluster)
    assert TopicNamesResponse.decode(body).names == {"playback.eu", "überall"}
    assert TopicNamesResponse.decode(BytesIO(body)).names == {"playback.eu", "überall"}


def test_a_response_that_was_cut_is_an_error() -> None:
    with pytest.raises((struct.error, IndexError)):
        TopicNamesResponse.decode(encoded()[:-30])
