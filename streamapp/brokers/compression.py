"""Compression of batches: which codecs there are, and which makes a batch small enough.

Kafka compares the limit of a topic with the compressed size of a batch. A batch is compressed only
if that makes it smaller, so whatever fits uncompressed fits for certain.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiokafka import codec as kafka_codec
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from streamapp.record import Headers

BATCH_HEADER_BYTES = 61
"""The header of a batch in Kafka's v2 format, which is never compressed."""

_GZIP_LEVEL = 6
"""As other clients do. Level 9 takes four times as long, for one or two percent of the size."""

_SMALLEST_GZIP_LEVEL = 9
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_CHUNK_BYTES = 256 * 1024


class Compression(StrEnum):
    """A codec of Kafka's; the values are Kafka's names."""

    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"

    @property
    def attribute(self) -> int:
        """How the header of a batch names it."""
        numbers: dict[Compression, int] = {
            Compression.GZIP: DefaultRecordBatch.CODEC_GZIP,
            Compression.SNAPPY: DefaultRecordBatch.CODEC_SNAPPY,
            Compression.LZ4: DefaultRecordBatch.CODEC_LZ4,
            Compression.ZSTD: DefaultRecordBatch.CODEC_ZSTD,
        }
        return numbers[self]

    @property
    def is_installed(self) -> bool:
        """Whether its library is there; that of gzip always is."""
        return self is Compression.GZIP or bool(kafka_codec.has_zstd())


FOR_LARGE = tuple(one for one in (Compression.GZIP, Compression.ZSTD) if one.is_installed)
"""Codecs for what has to be written although it does not fit uncompressed, tried in turn."""


@dataclass(frozen=True, slots=True)
class BatchCompression:
    """How one batch is compressed.

    Attributes:
        usual: codec of every batch that it makes smaller; `None` for no compression.
        max_bytes: largest batch that the topic accepts; `None` if that does not matter.
        for_large: codecs for a batch that is larger uncompressed, tried in turn.
    """

    usual: Compression | None = None
    max_bytes: int | None = None
    for_large: Sequence[Compression] = ()

    def never_applies(self, batch_bytes: int) -> bool:
        """Whether a batch of this size is sent as it is."""
        return self.usual is None and (self.max_bytes is None or batch_bytes <= self.max_bytes)

    def apply(self, records: bytes) -> tuple[Compression, bytes] | None:
        """The codec and the compressed records of a batch; `None` if it is not compressed."""
        if self.max_bytes is not None and len(records) + BATCH_HEADER_BYTES > self.max_bytes:
            return compress_to_fit(self.for_large, records, self.max_bytes)
        if self.usual is None:
            return None
        compressed = _compress(self.usual, records, len(records) - 1)
        return None if compressed is None else (self.usual, compressed)


def compress_to_fit(
    codecs: Iterable[Compression], records: bytes, max_batch_bytes: int
) -> tuple[Compression, bytes] | None:
    """Compress the records of a batch with the first codec that makes the batch small enough.

    Returns:
        The codec and the compressed records; `None` if the batch is too large with each of them.
    """
    codecs = list(codecs)
    max_bytes = max_batch_bytes - BATCH_HEADER_BYTES
    for codec in codecs:
        if (compressed := _compress(codec, records, max_bytes)) is not None:
            return codec, compressed
    if Compression.GZIP in codecs:
        compressed = _gzip(records, _SMALLEST_GZIP_LEVEL, max_bytes)
        if compressed is not None:
            return Compression.GZIP, compressed
    return None


def encoded_records(
    records: Sequence[tuple[int, bytes | None, bytes | None, Headers]],
) -> bytes:
    """Records as they stand in a batch behind its header.

    Args:
        records: timestamp in milliseconds, key, value and headers of each.
    """
    builder = DefaultRecordBatchBuilder(
        2,
        DefaultRecordBatch.CODEC_NONE,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=2**31 - 1,
    )
    for i, (timestamp, key, value, headers) in enumerate(records):
        builder.append(i, timestamp, key, value, list(headers))
    return bytes(memoryview(builder.build())[BATCH_HEADER_BYTES:])


def _compress(codec: Compression, records: bytes, max_bytes: int) -> bytes | None:
    """The compressed records; `None` if they take more bytes than this."""
    if codec is Compression.GZIP:
        return _gzip(records, _GZIP_LEVEL, max_bytes)
    compress = {
        Compression.SNAPPY: kafka_codec.snappy_encode,
        Compression.LZ4: kafka_codec.lz4_encode,
        Compression.ZSTD: kafka_codec.zstd_encode,
    }[codec]
    compressed: bytes = compress(records)
    return compressed if len(compressed) <= max_bytes else None


def _gzip(records: bytes, level: int, max_bytes: int) -> bytes | None:
    """The same with gzip, which is slow: it ends as soon as there are too many bytes."""
    compressor = zlib.compressobj(level, wbits=_GZIP_FORMAT)
    whole = memoryview(records)
    compressed = bytearray()
    for start in range(0, len(whole), _CHUNK_BYTES):
        compressed += compressor.compress(whole[start : start + _CHUNK_BYTES])
        if len(compressed) > max_bytes:
            return None
    compressed += compressor.flush()
    return bytes(compressed) if len(compressed) <= max_bytes else None
