"""What a topic takes is known before it is sent, to the byte."""

import pytest

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
ROOM = LIMIT - BATCH_HEADER - LONGEST_FRAME


def topic(**config: str) -> TopicDescription:
    return TopicDescription("out", 1, 1, {"max.message.bytes": str(LIMIT), **config})


def target(**config: str) -> OutputTopic:
    return OutputTopic(topic(**config), StageMetrics("p", "stage", "in"))


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


def test_a_key_or_headers_alone_can_be_too_large() -> None:
    out = target()
    assert out.takes(b"k" * ROOM, None, [])
    assert not out.takes(b"k" * (ROOM + 1), None, [])
    encode = encoder_for(codec_for(bytes), out)
    with pytest.raises(RecordTooLargeError):
        encode(b"", b"k" * (ROOM + 1), [])
    with pytest.raises(RecordTooLargeError):
        encode(b"", b"k", [("name", b"x" * ROOM)])


@pytest.mark.parametrize(
    ("policy", "needs_keys"),
    [("compact", True), ("compact,delete", True), ("delete", False)],
)
def test_an_output_without_a_key_is_refused_where_the_topic_is_compacted(
    policy: str, needs_keys: bool
) -> None:
    out = target(**{"cleanup.policy": policy})
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


def test_outputs_of_a_topic_are_counted_from_zero_before_there_is_one() -> None:
    metrics = StageMetrics("p", "stage", "in")
    OutputTopic(topic(), metrics)
    assert metrics.records_out == {"out": 0}
