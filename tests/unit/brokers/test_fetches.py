"""Whole batches hold what the client's own iterator, the oracle, gives record by record."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streamapp.brokers.kafka.fetches import UnpackedRecords
from streamapp.brokers.kafka.parsing import ClientLog, NativeLog, log_of
from streamapp.native_leaves import SELECTED

LOGS: Sequence[Callable[[bytes], Any]] = [
    ClientLog,
    *([NativeLog] if SELECTED.is_native else []),
]
"""The client's parser, and the native one where it is installed."""

both_ways = pytest.mark.parametrize("log", LOGS)
PLACE = TopicPartition("t", 0)
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
TRANSACTIONAL, CONTROL = 0x10, 0x20
LAST_OFFSET_DELTA_AT, ATTRIBUTES_AT, CRC_AT = 23, 21, 17
ABORT, COMMIT = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"

Pair = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]


@dataclass(frozen=True)
class Batch:
    """A batch in a log.

    Attributes:
        records: key, value and headers of each.
        codec: how it is compressed.
        producer: its producer's id; -1 is none.
        marker: key of a control record, if it is a control batch.
        gap: offsets left out behind it, as compaction does.
    """

    records: tuple[Pair, ...]
    codec: int = NONE
    producer: int = -1
    marker: bytes | None = None
    gap: int = 0

    @property
    def offsets(self) -> int:
        return max(1, len(self.records)) + self.gap


def encoded(batch: Batch, base: int) -> bytearray:
    transactional = batch.producer >= 0
    codec = batch.codec if batch.records else NONE  # compaction leaves no compressed empty batch
    builder = DefaultRecordBatchBuilder(2, codec, int(transactional), batch.producer, 0, 0, 1 << 30)
    records = batch.records if batch.marker is None else ((batch.marker, b"\0" * 6, []),)
    for place, (key, value, headers) in enumerate(records):
        builder.append(place, 1_700_000_000_000 + place, key, value, headers)
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    struct.pack_into(">i", data, LAST_OFFSET_DELTA_AT, batch.offsets - 1)
    if batch.marker is not None:
        attributes = struct.unpack_from(">h", data, ATTRIBUTES_AT)[0]
        struct.pack_into(">h", data, ATTRIBUTES_AT, attributes | CONTROL)
    return signed(data)


def signed(data: bytearray) -> bytearray:
    """With the checksum of what it holds now."""
    from aiokafka.record.util import calc_crc32c  # noqa: PLC0415 - the client's own

    struct.pack_into(">I", data, CRC_AT, calc_crc32c(bytes(data[ATTRIBUTES_AT:])))
    return data


def response(batches: Sequence[Batch], first_offset: int = 0) -> bytes:
    data, base = bytearray(), first_offset
    for batch in batches:
        data += encoded(batch, base)
        base += batch.offsets
    return bytes(data)


def since(batches: Sequence[Batch], offset: int) -> tuple[Sequence[Batch], int]:
    """What a broker sends from an offset on, and where that begins: its batch is sent whole."""
    base = 0
    for i, batch in enumerate(batches):
        if base + batch.offsets > offset:
            return batches[i:], base
        base += batch.offsets
    return (), base


def packed(
    data: bytes,
    position: int = 0,
    aborted: Sequence[tuple[int, int]] = (),
    log: Callable[[bytes], Any] = MemoryRecords,
) -> PartitionRecords:
    return PartitionRecords(
        PLACE,
        log(data),
        list(aborted),
        position,
        None,
        None,
        True,  # noqa: FBT003 - the client's
        READ_COMMITTED,
    )


def told(record: Any) -> tuple[Any, ...]:
    return (record.offset, record.timestamp, record.key, record.value, tuple(record.headers))


HEADERS = st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=2)
RECORDS = st.lists(
    st.tuples(st.none() | st.binary(max_size=4), st.none() | st.binary(max_size=30), HEADERS),
    max_size=6,
).map(tuple)
BATCHES = st.lists(
    st.builds(
        Batch,
        records=RECORDS,
        codec=st.sampled_from([NONE, GZIP, SNAPPY, LZ4, ZSTD]),
        producer=st.sampled_from([-1, -1, 7, 8]),
        marker=st.none(),
        gap=st.integers(0, 2),
    )
    | st.builds(
        Batch,
        records=st.just(()),
        producer=st.sampled_from([7, 8]),
        marker=st.sampled_from([ABORT, COMMIT]),
    ),
    min_size=1,
    max_size=6,
)


@both_ways
@given(
    batches=BATCHES,
    position=st.integers(0, 8),
    aborted=st.lists(st.tuples(st.sampled_from([7, 8]), st.integers(0, 12)), max_size=3),
    takes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    cut=st.integers(0, 3),
)
def test_whole_batches_hold_what_the_clients_iterator_gives(
    batches: list[Batch],
    position: int,
    aborted: list[tuple[int, int]],
    takes: list[int],
    cut: int,
    log: Callable[[bytes], Any],
) -> None:
    data = response(batches)
    data = data[: len(data) - cut]  # a broker may send the beginning of a batch only
    oracle = packed(data, position, aborted)
    expected = [told(record) for record in oracle]
    subject = UnpackedRecords(packed(data, position, aborted, log))
    found: list[tuple[Any, ...]] = []
    rounds = 0
    while not subject.is_empty:
        wanted = takes[rounds % len(takes)]
        rounds += 1
        taken = subject.take(wanted)
        assert len(taken) <= wanted
        found += map(told, taken)
        assert found == expected[: len(found)]
        # Reading from here gives what is left; what a broker then says of aborts is not modelled.
        if len(found) < len(expected) and not aborted:
            rest = response(*since(batches, subject.next_fetch_offset))
            again = packed(rest[: len(rest) - cut], subject.next_fetch_offset, aborted)
            assert [told(record) for record in again] == expected[len(found) :]
    assert found == expected
    assert subject.next_fetch_offset == oracle.next_fetch_offset


def test_records_say_how_many_fetched_bytes_they_keep() -> None:
    batch = Batch(tuple((b"key", b"v" * 100, []) for _ in range(9)))
    subject = UnpackedRecords(packed(response([batch, batch]), log=log_of))
    taken = subject.take(4)
    assert (400 < taken.kept_bytes < 500) == SELECTED.is_native
    everything = subject.take(14)
    assert (1400 < everything.kept_bytes < 1600) == SELECTED.is_native


def with_broken_checksum(data: bytearray) -> bytes:
    data[-1] ^= 1
    return bytes(data)


def with_broken_header_name(data: bytearray) -> bytes:
    place = data.rindex(b"name")
    data[place : place + 4] = b"\xff\xfe\xff\xfe"
    return bytes(signed(data))


GOOD = Batch(((b"k", b"1", []), (b"k", b"2", [])))
MIXED = Batch(((b"k", b"3", []), (b"k", b"4", []), (b"k", b"bad", [("name", b"x")])))


@both_ways
@pytest.mark.parametrize(
    ("broken", "offset", "before"),
    [
        (with_broken_checksum, 2, [b"1", b"2"]),
        (with_broken_header_name, 4, [b"1", b"2", b"3", b"4"]),
    ],
)
def test_what_stands_before_a_broken_record_is_handed_out_and_nothing_behind_it(
    broken: Any, offset: int, before: list[bytes], log: Callable[[bytes], Any]
) -> None:
    data = bytes(encoded(GOOD, 0)) + broken(encoded(MIXED, 2)) + bytes(encoded(GOOD, 5))
    subject = UnpackedRecords(packed(data, log=log))
    found: list[bytes | None] = []
    while len(found) < len(before):
        found += [record.value for record in subject.take(3)]
    assert found == before
    for _ in range(2):
        with pytest.raises((CorruptRecordException, ValueError)):
            subject.take(10)
        assert subject.unparsed_offset == offset
        assert not subject.is_empty


@both_ways
def test_a_batch_whose_codec_has_no_library_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[bytes], Any]
) -> None:
    data = response([GOOD, Batch(GOOD.records, codec=ZSTD), GOOD])
    subject = UnpackedRecords(packed(data, log=log))
    monkeypatch.setattr("aiokafka.codec.has_zstd", lambda: False)
    assert [record.offset for record in subject.take(10)] == [0, 1]
    for _ in range(2):
        with pytest.raises(UnsupportedCodecError):
            subject.take(10)


def test_a_list_keeps_what_stood_before_an_item_that_raises() -> None:
    def items() -> Any:
        yield from (1, 2)
        raise ValueError

    kept: list[int] = []
    with pytest.raises(ValueError):  # noqa: PT011 - it has no message
        kept.extend(items())
    assert kept == [1, 2]


def older(magic: int, offset: int, pairs: Sequence[Pair], codec: int) -> bytes:
    """A message set of a format before the second, as a broker sends it."""
    made = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    for place, (key, value, _) in enumerate(pairs):
        is_relative = magic == 1 and codec != NONE
        made.append(place + (0 if is_relative else offset), 1_700_000_000_000, key, value)
    data = made.build()
    if codec != NONE:  # the broker gives the wrapper the offset of its last record
        struct.pack_into(">q", data, 0, offset + len(pairs) - 1)
    return bytes(data)


@both_ways
@given(
    batches=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2]), RECORDS.filter(bool), st.sampled_from([NONE, GZIP, SNAPPY])
        ),
        min_size=1,
        max_size=5,
    ),
    takes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_formats_may_change_within_a_response_in_any_way(
    batches: list[tuple[int, tuple[Pair, ...], int]],
    takes: list[int],
    log: Callable[[bytes], Any],
) -> None:
    data, expected = b"", list[tuple[Any, ...]]()
    for magic, pairs, codec in batches:
        base = len(expected)
        if magic < 2:
            one = older(magic, base, pairs, codec)
        else:
            one = bytes(encoded(Batch(pairs, codec), base))
        expected += map(told, packed(one))  # by the client, which takes one format at a time
        assert [offset for offset, *_ in expected[base:]] == [*range(base, base + len(pairs))]
        data += one
    subject = UnpackedRecords(packed(data, log=log))
    found: list[tuple[Any, ...]] = []
    rounds = 0
    while not subject.is_empty:
        found += map(told, subject.take(takes[rounds % len(takes)]))
        rounds += 1
        assert subject.next_fetch_offset == len(found)
    assert found == expected


@both_ways
def test_batches_of_an_older_format_are_parsed_by_the_client(log: Callable[[bytes], Any]) -> None:
    old = LegacyRecordBatchBuilder(1, NONE, 1 << 20)
    old.append(0, 1_700_000_000_000, b"k", b"old")
    subject = UnpackedRecords(packed(bytes(old.build()), log=log))
    assert list(map(told, subject.take(10))) == [(0, 1_700_000_000_000, b"k", b"old", ())]
    assert subject.is_empty
    assert subject.next_fetch_offset == 1
