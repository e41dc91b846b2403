"""The native leaves write what their twins in Python and the client's own builder write."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from pydantic import BaseModel, TypeAdapter

from streamapp.brokers.kafka.batch import KafkaBatch
from streamapp.brokers.partitioner import Partitioner, murmur2, partition_for
from streamapp.brokers.protocols import TopicDescription
from streamapp.brokers.topic_batches import TopicBatches
from streamapp.errors import RecordError
from streamapp.native_leaves import native
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import Headers, StoredRecord, TopicPartition
from streamapp.runtime.encoding import Outlet, writer_of
from streamapp.runtime.output_topic import OutputTopic
from streamapp.serialisation import codec_for

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
HEADERS = st.lists(st.tuples(TEXT, st.none() | st.binary(max_size=5)), max_size=3)
FIELD = st.none() | st.binary(max_size=200)
TIMESTAMP = st.integers(-1, 2**45) | st.just(-1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)
"""Whatever JSON has, with integers beyond 64 bits."""


class Sold(BaseModel):
    n: int = 0
    text: str = ""
    flag: bool | None = None


class SoldStruct(Struct):
    n: int = 0
    text: str = ""
    flag: bool | None = None


class MoreSold(SoldStruct):
    more: int = 0


class Shares(Struct):
    share: float
    parts: list[float] = []


def built(batch: Any) -> bytes:
    """What the client's sender asks for."""
    return bytes(batch._build())


@given(
    st.lists(st.tuples(TIMESTAMP, FIELD, FIELD, HEADERS), min_size=1, max_size=20),
    st.integers(62, 2000),
    st.booleans(),
    st.tuples(st.integers(-1, 2**62), st.integers(-1, 2**15 - 1), st.integers(0, 2**31 - 1)),
)
def test_a_batch_is_the_clients_own_byte_for_byte(
    records: Sequence[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]],
    max_bytes: int,
    is_transactional: bool,
    state: tuple[int, int, int],
) -> None:
    theirs = DefaultRecordBatchBuilder(2, 0, is_transactional, -1, -1, 0, max_bytes)
    ours = native.RecordBatch(max_bytes, is_transactional=is_transactional)
    place = 0
    for timestamp, key, value, headers in records:
        added = theirs.append(place, timestamp, key, value, headers) is not None
        assert (ours.append(place, timestamp, key, value, headers) is not None) is added
        assert ours.size() == theirs.size()
        place += added
    theirs.set_producer_state(*state)
    ours.set_producer_state(*state)
    assert ours.build() == theirs.build()


@given(st.binary(max_size=40), st.integers(1, 100))
def test_a_key_has_the_partition_that_the_twin_computes(key: bytes, partitions: int) -> None:
    assert native.murmur2(key) == murmur2(key)
    assert native.partition_for(key, partitions) == partition_for(key, partitions)


@given(st.lists(st.tuples(FIELD, FIELD, HEADERS, TIMESTAMP), max_size=30), st.integers(1, 4))
def test_records_go_to_the_batches_of_the_twin(
    records: Sequence[tuple[bytes | None, bytes | None, Headers, int]], partitions: int
) -> None:
    sealed: tuple[list[int], list[int]] = ([], [])
    makers: Sequence[Callable[..., Any]] = (native.TopicBatches, TopicBatches)
    found = []
    for make, sizes in zip(makers, sealed, strict=True):
        batches = make(Partitioner(partitions), lambda: KafkaBatch(600), sizes.append)
        places = [batches.append(*record) for record in records]
        size = batches.open_bytes()
        taken = [(n, one.record_count(), built(one)) for n, one in batches.take()]
        found.append((places, size, taken))
    assert found[0] == found[1]
    assert sealed[0] == sealed[1]


@given(JSON)
def test_json_is_written_as_the_twin_writes_it(value: Any) -> None:
    encode = codec_for(Any).encode
    assert native.Encoding.of_json(encode).encode(value) == encode(value)


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": {"b": -math.inf}}])
def test_what_json_does_not_have_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="no number in JSON"):
        native.Encoding.of_json(codec_for(Any).encode).encode(value)


@given(st.lists(st.tuples(st.integers(-(2**66), 2**66), TEXT, st.none() | st.booleans())))
def test_models_are_written_as_the_twin_writes_them(drawn: Sequence[tuple[Any, ...]]) -> None:
    codec = codec_for(Sold)
    assert codec.encoder is not None
    assert codec.encoder.kinds is not None
    ours = native.Encoding.of_fields(Sold, codec.encoder.kinds, orjson.dumps, codec.encode)
    for n, text, flag in drawn:
        sold = Sold(n=n, text=text, flag=flag)
        assert ours.encode(sold) == codec.encode(sold)


def test_a_field_of_another_type_than_declared_is_refused() -> None:
    codec = codec_for(Sold)
    assert codec.encoder is not None
    assert codec.encoder.kinds is not None
    ours = native.Encoding.of_fields(Sold, codec.encoder.kinds, orjson.dumps, codec.encode)
    assert ours.encode(Sold()) == ours.encode(Sold()) == b'{"n":0,"text":"","flag":null}'
    unchecked: Any = Sold.model_construct
    with pytest.raises(ValueError, match="n: "):
        ours.encode(unchecked(n="0"))


@given(
    st.lists(
        st.builds(
            lambda class_, n, text, flag: class_(n, text, flag),
            st.sampled_from([SoldStruct, SoldStruct, MoreSold]),
            st.integers(-(2**66), 2**66) | st.booleans() | st.none(),
            TEXT | st.sampled_from(["\ud800", b"bytes"]),
            st.none() | st.booleans() | st.just("no"),
        )
    )
)
def test_structs_are_written_and_refused_as_by_the_twin(drawn: Sequence[SoldStruct]) -> None:
    codec = codec_for(SoldStruct)
    assert codec.encoder is not None
    plain = codec.encoder.plain
    assert plain is not None
    ours = native.Encoding.of_values(
        SoldStruct, plain.kinds, plain.values_of, plain.dumps, codec.encode
    )
    for sold in [*drawn, *drawn]:
        assert read(sold, ours.encode) == read(sold, codec.encode)


@given(
    st.integers(-(10**18), 10**18) | st.integers(10**14, 10**17),
    st.integers(10**14, 10**17),
)
def test_a_struct_is_read_with_the_floats_that_equal_its_numbers(n: int, part: int) -> None:
    codec = codec_for(Shares)
    assert codec.quick is not None
    data = b'{"share":%d,"parts":[%d]}' % (n, part)
    is_exact = int(float(n)) == n and int(float(part)) == part
    found = read(data, codec.quick.decode)
    assert found == read(data, codec.quick.otherwise)
    assert (found == Shares(float(n), [float(part)])) is is_exact


def fetched(timestamp: int, key: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Any:
    """A record that the native leaves have read."""
    batch = native.RecordBatch(4096)
    batch.append(0, timestamp, key, b"", headers)
    parsed = native.Log(bytes(batch.build())).next_batch()
    assert isinstance(parsed, native.LogBatch)
    return parsed.parse()[0][0]


@pytest.mark.parametrize("type_", [dict, Sold, SoldStruct, bytes])
@pytest.mark.parametrize("policy", ["delete", "compact"])
@given(
    drawn=st.lists(st.tuples(FIELD, HEADERS, TIMESTAMP, st.integers(0, 400), st.booleans())),
    own_keys=st.booleans(),
    are_fetched=st.booleans(),
)
def test_outputs_are_written_and_refused_as_by_the_twin(
    type_: Any,
    policy: str,
    drawn: Sequence[tuple[Any, ...]],
    own_keys: bool,
    are_fetched: bool,
) -> None:
    limits = {"max.message.bytes": "500", "cleanup.policy": policy}
    topic = OutputTopic(TopicDescription("out", 2, 1, limits), StageMetrics("p", "s", "in"))
    outlet = Outlet(codec_for(type_), topic)
    ours = native.TopicBatches(Partitioner(2), lambda: KafkaBatch(500), lambda _: None)
    theirs = TopicBatches(Partitioner(2), lambda: KafkaBatch(500), lambda _: None)
    writers = (outlet.writer(ours), writer_of(outlet.encode, theirs.append))
    for key, headers, timestamp, size, was_a_letter in drawn:
        errors = [("streamapp.error.kind", b"x")] if was_a_letter else []
        record: Any = StoredRecord(0, timestamp, key, b"", [*headers, *errors])
        if are_fetched:
            record = fetched(timestamp, key, record.headers)
        value = b"x" * size if type_ is bytes else {"t": "x" * size}
        value = type_(text="x" * size) if type_ in (Sold, SoldStruct) else value
        given_key = [b"own"] if own_keys else []
        said = []
        for writer in writers:
            try:
                (writer.write_keyed if own_keys else writer.write)(value, record, *given_key)
                said.append("")
            except RecordError as error:
                said.append(str(error))
        assert said[0] == said[1]
    sent = [[(n, built(one)) for n, one in batches.take()] for batches in (ours, theirs)]
    assert sent[0] == sent[1]


def read(given: Any, reader: Callable[[Any], Any]) -> Any:
    try:
        return reader(given)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("type_", [dict, Any, list])
@given(data=JSON.map(codec_for(Any).encode))
def test_json_is_read_as_pydantic_reads_it(type_: Any, data: bytes) -> None:
    pydantics = TypeAdapter(type_).validator.validate_json
    theirs, ours = read(data, pydantics), read(data, codec_for(type_).decode)
    assert repr(ours) == repr(theirs)  # which tells 1 from 1.0 and from True, and the order of keys


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a":1e999}',
        b'{"a":-0,"b":-0.0,"c":1E5}',
        b'{"a":18446744073709551615,"b":18446744073709551616}',
        b'{"a":123456789012345678901234567890.5}',
        b'{"a":0.1234567890123456789012345}',
        b'{"a":1,"b":2,"a":3}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"{} x",
        b'{"a":01}',
        b"[" * 190 + b"]" * 190,
        b"[" * 300 + b"]" * 300,
        b'{"a":' * 160 + b"1" + b"}" * 160,
        b'{"a":' * 250 + b"1" + b"}" * 250,
    ],
)
@pytest.mark.parametrize("type_", [dict, Any])
def test_unusual_json_is_read_as_pydantic_reads_it(type_: Any, data: bytes) -> None:
    pydantics = TypeAdapter(type_).validator.validate_json
    theirs, ours = read(data, pydantics), read(data, codec_for(type_).decode)
    assert repr(ours) == repr(theirs)


async def test_a_batch_is_sent_with_what_the_clients_sender_has_set() -> None:
    batch = KafkaBatch(1000)
    batch.append(timestamp=5, key=b"k", value=b"v")
    sent = MessageBatch(TopicPartition("out", 0), batch, 1, 0)
    sent.set_producer_state(7, 3, 11)
    read = DefaultRecordBatch(bytes(sent.get_data_buffer()))
    assert read.validate_crc()
    assert (read.producer_id, read.producer_epoch, read.base_sequence) == (7, 3, 11)
    assert [(one.key, one.value, one.timestamp) for one in read] == [(b"k", b"v", 5)]
    assert sent.get_data_buffer() is sent.get_data_buffer()
    assert batch.size() == len(sent.get_data_buffer())
