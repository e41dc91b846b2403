"""A batch is compressed where that makes it smaller, so that the limit of its topic holds."""

import os
from collections.abc import Sequence
from random import Random

import orjson
import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.brokers.compression import (
    BATCH_HEADER_BYTES,
    BatchCompression,
    Compression,
    compress_to_fit,
    encoded_records,
)
from streamapp.brokers.kafka.batch import KafkaBatch
from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.record import Headers

EVERY = pytest.mark.parametrize("codec", list(Compression))
MANY = 10_000_000


def words(count: int, seed: int = 1) -> bytes:
    """Text that compresses to a third or so."""
    rng = Random(seed)
    return orjson.dumps([f"user-{rng.randrange(10**6)}" for _ in range(count)])


def sent(batch: KafkaBatch) -> bytes:
    batch.close()
    return bytes(batch._build())


def filled(
    values: Sequence[bytes], compression: BatchCompression, headers: Headers = ()
) -> KafkaBatch:
    batch = KafkaBatch(MANY, compression)
    for value in values:
        assert batch.append(timestamp=5, key=b"key", value=value, headers=headers) is not None
    return batch


@EVERY
def test_a_compressed_batch_is_smaller_and_has_the_same_records(codec: Compression) -> None:
    values, headers = [words(100, seed) for seed in range(20)], [("name", b"content")]
    encoded = sent(filled(values, BatchCompression(codec), headers))
    assert len(encoded) < sum(map(len, values)) * 0.8
    batch = MemoryRecords(encoded).next_batch()
    assert batch.validate_crc()
    assert batch.compression_type == codec.attribute
    assert [
        (record.timestamp, record.key, record.value, list(record.headers)) for record in batch
    ] == [(5, b"key", value, headers) for value in values]


@EVERY
def test_a_batch_never_grows(codec: Compression) -> None:
    noise = os.urandom(100_000)
    batch = filled([noise], BatchCompression(codec))
    uncompressed = batch.size()
    assert len(sent(batch)) == uncompressed
    assert (
        len(sent(filled([b"1"], BatchCompression(codec))))
        == filled([b"1"], BatchCompression()).size()
    )


def test_without_a_codec_a_batch_is_sent_as_it_is() -> None:
    batch = filled([bytes(5000)], BatchCompression())
    assert len(sent(batch)) == 5000 + len(sent(filled([b""], BatchCompression()))) + 2


def test_a_batch_keeps_the_sequence_number_that_the_client_gives_it() -> None:
    batch = filled([bytes(5000)], BatchCompression(Compression.GZIP))
    batch._set_producer_state(7, 3, 11)
    parsed = MemoryRecords(sent(batch)).next_batch()
    assert (parsed.producer_id, parsed.producer_epoch, parsed.base_sequence) == (7, 3, 11)
    assert parsed.validate_crc()


def test_only_a_batch_beyond_the_limit_takes_the_codecs_for_large_ones() -> None:
    compression = BatchCompression(None, 3000, [Compression.GZIP])
    small, large = filled([bytes(1000)], compression), filled([bytes(5000)], compression)
    assert small.size() < 3000 < large.size()
    assert MemoryRecords(sent(small)).next_batch().compression_type == 0
    assert MemoryRecords(sent(large)).next_batch().compression_type == Compression.GZIP.attribute


def test_the_first_codec_that_makes_it_small_enough_is_taken() -> None:
    records = words(20_000)
    sizes = {}
    for codec in (Compression.SNAPPY, Compression.ZSTD):
        found = compress_to_fit([codec], records, MANY)
        assert found is not None
        sizes[codec] = len(found[1]) + BATCH_HEADER_BYTES
    assert sizes[Compression.ZSTD] < sizes[Compression.SNAPPY]
    both = [Compression.SNAPPY, Compression.ZSTD]
    for limit, chosen in (
        (sizes[Compression.SNAPPY], Compression.SNAPPY),
        (sizes[Compression.SNAPPY] - 1, Compression.ZSTD),
        (sizes[Compression.ZSTD], Compression.ZSTD),
    ):
        found = compress_to_fit(both, records, limit)
        assert found is not None
        assert found[0] is chosen
    assert compress_to_fit(both, records, sizes[Compression.ZSTD] - 1) is None
    assert compress_to_fit([], records, MANY) is None


def test_what_gzip_at_its_usual_level_leaves_too_large_is_packed_as_tightly_as_it_can() -> None:
    records = words(50_000)
    usual = BatchCompression(Compression.GZIP).apply(records)
    assert usual is not None
    limit = len(usual[1]) + BATCH_HEADER_BYTES - 1
    found = compress_to_fit([Compression.GZIP], records, limit)
    assert found is not None
    assert len(found[1]) + BATCH_HEADER_BYTES <= limit


@settings(deadline=None)
@given(
    value=st.sampled_from([words(2000), bytes(20_000), Random(3).randbytes(20_000)]),
    codec=st.sampled_from([None, *Compression]),
    for_large=st.lists(st.sampled_from(list(Compression)), max_size=3),
    limit=st.integers(61, 25_000),
    limit_of_topic=st.integers(61, 25_000),
)
def test_the_memory_broker_takes_a_batch_exactly_when_kafka_would(
    value: bytes,
    codec: Compression | None,
    for_large: list[Compression],
    limit: int,
    limit_of_topic: int,
) -> None:
    compression = BatchCompression(codec, limit, for_large)
    ours, kafka = MemoryBatch(MANY, lambda: 0.0, compression), KafkaBatch(MANY, compression)
    for batch in (ours, kafka):
        batch.append(timestamp=5, key=b"k", value=value, headers=[("h", b"")])
    assert ours.fits(limit_of_topic, "producer") is (len(sent(kafka)) <= limit_of_topic)


def test_the_memory_broker_looks_at_a_batch_as_it_is_stored_too() -> None:
    batch = MemoryBatch(MANY, lambda: 0.0, BatchCompression(Compression.ZSTD))
    batch.append(timestamp=5, key=None, value=words(20_000))
    snappy = compress_to_fit([Compression.SNAPPY], encoded_records(batch.entries), MANY)
    assert snappy is not None
    limit = len(snappy[1]) + BATCH_HEADER_BYTES
    assert batch.size() > limit
    assert batch.fits(limit, "zstd")
    assert batch.fits(limit, "snappy")
    assert not batch.fits(limit - 1, "snappy")
    assert batch.fits(limit - 1, "producer")
    assert not batch.fits(limit, "uncompressed")
