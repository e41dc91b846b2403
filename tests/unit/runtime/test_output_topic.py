"""What a topic takes is known before it is sent, to the byte."""

from collections.abc import Mapping
from random import Random
from typing import Any

import aiokafka.codec
import pytest
from pydantic import BaseModel

from streamapp.brokers.compression import (
    BATCH_HEADER_BYTES,
    Compression,
    compress_to_fit,
    encoded_records,
)
from streamapp.brokers.protocols import TopicDescription
from streamapp.errors import EncodeError, RecordTooLargeError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import Headers
from streamapp.runtime.encoding import encoder_for
from streamapp.runtime.output_topic import OutputTopic
from streamapp.serialisation import codec_for

LIMIT = 2000
BATCH_HEADER = 61
# Length, attributes, deltas of timestamp and offset, lengths of key and value, count of headers:
# the longest that a version 2 record can have (https://kafka.apache.org/documentation/#recordbatch).
LONGEST_FRAME = 5 + 1 + 10 + 5 + 5 + 5 + 5
LONGEST_LENGTHS_OF_A_HEADER = 5 + 5
LARGE = b"abcdefgh" * LIMIT
NOISE = Random(1).randbytes(LIMIT)
ROOM = LIMIT - BATCH_HEADER - LONGEST_FRAME


def topic(**config: str) -> TopicDescription:
    return TopicDescription("out", 1, 1, {"max.message.bytes": str(LIMIT), **config})


def target(
    compression: Compression | None = None,
    config: Mapping[str, str] | None = None,
    *,
    holds_letters: bool = False,
) -> OutputTopic:
    return OutputTopic(
        topic(**(config or {})),
        StageMetrics("p", "stage", "in"),
        compression=compression,
        holds_letters=holds_letters,
    )


@pytest.mark.parametrize(
    ("key", "headers", "taken"),
    [
        (None, [], 0),
        (b"key", [], 3),
        (b"key", [("name", b"content")], 3 + 4 + 7 + LONGEST_LENGTHS_OF_A_HEADER),
        (None, [("ü", None)], 2 + LONGEST_LENGTHS_OF_A_HEADER),
        (None, [("a", b""), ("b", b"12")], 4 + 2 * LONGEST_LENGTHS_OF_A_HEADER),
    ],
)
def test_an_output_may_be_as_large_as_its_topic_takes_and_no_byte_larger(
    key: bytes | None, headers: Headers, taken: int
) -> None:
    out = target()
    encode = encoder_for(codec_for(bytes), out)
    largest = b"x" * (ROOM - taken)
    assert out.takes(key, largest, headers)
    assert encode(largest, key, headers) == largest
    assert not out.takes(key, largest + b"x", headers)
    with pytest.raises(RecordTooLargeError, match=f"max.message.bytes is {LIMIT}"):
        encode(largest + b"x", key, headers)


class Play(BaseModel):
    title: str = ""


@pytest.mark.parametrize("value", [b"", {}, Play()], ids=["bytes", "no schema", "model"])
def test_a_key_or_headers_alone_can_be_too_large(value: Any) -> None:
    out = target()
    assert out.takes(b"k" * ROOM, None, [])
    assert not out.takes(b"k" * (ROOM + 1), None, [])
    encode = encoder_for(codec_for(type(value)), out)
    with pytest.raises(RecordTooLargeError):
        encode(value, b"k" * (ROOM + 1), [])
    with pytest.raises(RecordTooLargeError):
        encode(value, b"k", [("name", b"x" * ROOM)])


@pytest.mark.parametrize("make", [bytes, lambda x: {"title": x.decode()}, lambda x: Play(title=x)])
def test_a_key_and_a_value_that_fit_alone_can_be_too_large_together(make: Any) -> None:
    value = make(b"x" * (ROOM // 2))
    encode = encoder_for(codec_for(type(value)), target())
    encode(value, b"", [])
    with pytest.raises(RecordTooLargeError):
        encode(value, b"k" * (ROOM // 2 + 2), [])


@pytest.mark.parametrize(
    ("policy", "needs_keys"),
    [("compact", True), ("compact,delete", True), ("delete", False)],
)
def test_an_output_without_a_key_is_refused_where_the_topic_is_compacted(
    policy: str, needs_keys: bool
) -> None:
    out = target(None, {"cleanup.policy": policy})
    encode = encoder_for(codec_for(bytes), out)
    assert encode(b"1", b"", []) == b"1"
    assert out.takes(b"", b"1", [])
    assert out.takes(None, b"1", []) is not needs_keys
    if needs_keys:
        with pytest.raises(EncodeError, match="compacted"):
            encode(b"1", None, [])
    else:
        assert encode(b"1", None, []) == b"1"


def test_a_limit_that_was_changed_on_the_broker_holds_from_then_on() -> None:
    out = target()
    encode = encoder_for(codec_for(bytes), out)
    value = b"x" * (ROOM + 1)
    out.describe(topic(**{"max.message.bytes": str(LIMIT + 1)}))
    assert encode(value, b"", []) == value
    out.describe(topic(**{"cleanup.policy": "compact"}))
    with pytest.raises(RecordTooLargeError):
        encode(value, b"", [])
    with pytest.raises(EncodeError):
        encode(b"1", None, [])


def test_a_value_that_cannot_be_written_is_refused_with_what_was_wrong() -> None:
    encode = encoder_for(codec_for(dict), target())
    with pytest.raises(EncodeError, match=r"cannot be written: names\.0: .*object") as refused:
        encode({"names": [object()]}, b"key", [])
    assert isinstance(refused.value.__cause__, ValueError)


def test_json_without_a_schema_is_written_as_it_is_and_what_is_no_number_is_refused() -> None:
    encode = encoder_for(codec_for(dict), target())
    assert encode({"share": None, "price": 0.5}, b"key", []) == b'{"share":null,"price":0.5}'
    with pytest.raises(EncodeError, match="share: nan is no number in JSON"):
        encode({"share": float("nan")}, b"key", [])


def test_outputs_of_a_topic_are_counted_from_zero_before_there_is_one() -> None:
    metrics = StageMetrics("p", "stage", "in")
    OutputTopic(topic(), metrics)
    assert metrics.records_out == {"out": 0}


@pytest.mark.parametrize("codec", list(Compression))
def test_an_output_that_fits_only_compressed_is_taken_where_outputs_are_compressed(
    codec: Compression,
) -> None:
    assert not target().takes(b"k", LARGE, [])
    out = target(codec)
    assert out.takes(b"k", LARGE, [("name", b"content")])
    assert encoder_for(codec_for(bytes), out)(LARGE, b"k", []) == LARGE
    assert not out.takes(b"k", NOISE, [])
    with pytest.raises(RecordTooLargeError, match=f"even compressed with {codec}: its max"):
        encoder_for(codec_for(bytes), out)(NOISE, b"k", [])


def test_headers_count_in_what_is_compressed() -> None:
    out = target(Compression.GZIP)
    assert out.takes(b"k", LARGE, [])
    assert not out.takes(b"k", LARGE, [("name", NOISE)])
    assert not out.takes(NOISE, LARGE, [])


def test_a_dead_letter_is_compressed_even_if_outputs_are_not() -> None:
    assert target().for_large == []
    letters = target(holds_letters=True)
    assert letters.for_large == [Compression.GZIP, Compression.ZSTD]
    assert letters.takes(b"k", LARGE, [])
    assert not letters.takes(b"k", NOISE, [])
    lz4 = target(Compression.LZ4, holds_letters=True)
    assert lz4.for_large == [Compression.LZ4, Compression.GZIP, Compression.ZSTD]


def test_a_dead_letter_is_compressed_without_any_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka.codec, "cramjam", None)
    letters = target(holds_letters=True)
    assert letters.for_large == [Compression.GZIP]
    assert letters.takes(b"k", LARGE, [])


@pytest.mark.parametrize("holds_letters", [True, False])
def test_only_the_codec_in_which_a_topic_is_stored_makes_an_output_fit(
    holds_letters: bool,
) -> None:
    def codecs(stored_as: str) -> object:
        config = {"compression.type": stored_as}
        return target(Compression.GZIP, config, holds_letters=holds_letters).for_large

    assert codecs("snappy") == [Compression.SNAPPY]
    assert codecs("uncompressed") == []
    assert Compression.GZIP in codecs("producer")  # type: ignore[operator]  # a list
    stored = target(None, {"compression.type": "snappy"}, holds_letters=holds_letters)
    assert stored.takes(b"k", LARGE, []) is holds_letters


def test_the_header_for_the_event_time_has_room_in_a_compressed_output_too() -> None:
    value = Random(1).randbytes(600) + LARGE
    packed = compress_to_fit([Compression.GZIP], encoded_records([(-1, b"k", value, [])]), 10**6)
    assert packed is not None
    fits_just = topic(**{"max.message.bytes": str(len(packed[1]) + BATCH_HEADER_BYTES)})
    for is_read_later in (False, True):
        out = OutputTopic(
            fits_just,
            StageMetrics("p", "stage", "in"),
            compression=Compression.GZIP,
            is_read_later=is_read_later,
        )
        assert out.takes(b"k", value, []) is not is_read_later
