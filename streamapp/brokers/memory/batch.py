"""A batch of records for one partition, with the size that it would have on Kafka.

Hot path: `MemoryBatch.appender` runs for each record. Nothing is encoded, unless it is too large
for its topic uncompressed. The size in Kafka's v2
format is computed, so that a batch is full, or too large for its topic, exactly when it would be on
Kafka (https://kafka.apache.org/documentation/#recordbatch).
"""

from collections.abc import Callable
from typing import TypeAlias, cast

from streamapp.brokers.compression import (
    BATCH_HEADER_BYTES,
    BatchCompression,
    Compression,
    compress_to_fit,
    encoded_records,
)
from streamapp.record import Headers

Entry: TypeAlias = tuple[int, bytes | None, bytes | None, Headers]
"""Timestamp in milliseconds, key, value and headers."""

# A byte of attributes, and one byte for each of: length, timestamp delta, offset delta, key length,
# value length, header count. These are variable-length integers: above 63 they take more bytes.
_RECORD_BYTES = 7
_ONE_BYTE_MAX = 63

_NOT_COMPRESSED = BatchCompression()


class MemoryBatch:
    """Records of one batch, and the bytes they would take on Kafka.

    Args:
        max_bytes: the batch stays smaller than this, unless its first record alone is larger, which
            is accepted whatever its size.
        now: seconds since the epoch, for records without a timestamp.
        compression: how it would be compressed on Kafka.
    """

    __slots__ = (
        "_closed",
        "_compression",
        "_first_timestamp",
        "_max_bytes",
        "_now",
        "_size",
        "entries",
    )

    def __init__(
        self,
        max_bytes: int,
        now: Callable[[], float],
        compression: BatchCompression = _NOT_COMPRESSED,
    ) -> None:
        self.entries: list[Entry] = []
        self._compression = compression
        self._max_bytes = max_bytes
        self._now = now
        self._size = BATCH_HEADER_BYTES
        self._first_timestamp = 0
        self._closed = False

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> object | None:
        """Append a record; `None` means that the batch is full and the record was not added."""
        return self.appender(len(self.entries), timestamp, key, value, headers)

    def seal(self, records: int) -> None:
        """Accept no more records.

        Args:
            records: how many were appended with `appender`.
        """
        if records != len(self.entries):
            raise ValueError(f"{len(self.entries)} records were appended, not {records}")
        self.close()

    def appender(
        self,
        _place: int,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> object | None:
        """Append a record; `None` means that the batch is full and the record was not added."""
        if self._closed:
            return None
        entries = self.entries
        if timestamp is None:
            timestamp = int(self._now() * 1000)
        delta = timestamp - self._first_timestamp if entries else 0
        size = _RECORD_BYTES
        if key is not None:
            length = _length(key)
            size += length if length <= _ONE_BYTE_MAX else length + length.bit_length() // 7
        if value is not None:
            length = _length(value)
            size += length if length <= _ONE_BYTE_MAX else length + length.bit_length() // 7
        if delta:
            size += (delta if delta > 0 else ~delta).bit_length() // 7
        size += len(entries).bit_length() // 7
        if headers:
            headers = tuple(headers)
            size += _headers_size(headers)
        size += (size - 1).bit_length() // 7
        if self._size + size >= self._max_bytes and entries:  # the rule of aiokafka's builder
            self._closed = True
            return None
        if not entries:
            self._first_timestamp = timestamp
        self._size += size
        entry = (timestamp, key, value, headers)
        entries.append(entry)
        return entry

    def close(self) -> None:
        """Accept no more records."""
        self._closed = True

    def record_count(self) -> int:
        """Records in the batch."""
        return len(self.entries)

    def size(self) -> int:
        """Encoded bytes so far, without compression."""
        return self._size

    def fits(self, max_bytes: int, stored_as: str) -> bool:
        """Whether Kafka would find it small enough, both as it is sent and as it is stored.

        Args:
            max_bytes: largest batch that the topic accepts.
            stored_as: the `compression.type` of the topic.
        """
        if self._size <= max_bytes:
            return True
        records = encoded_records(self.entries)
        sent = self._compression.apply(records)
        if sent is None or len(sent[1]) + BATCH_HEADER_BYTES > max_bytes:
            return False
        if stored_as in {"producer", sent[0]}:
            return True
        if stored_as == "uncompressed":
            return False
        return compress_to_fit([Compression(stored_as)], records, max_bytes) is not None


def _length(data: bytes) -> int:
    if not isinstance(data, bytes):
        raise TypeError(f"keys and values are bytes, not {type(data).__name__}")
    return len(data)


def _headers_size(headers: Headers) -> int:
    size = len(headers).bit_length() // 7
    for header in headers:
        if type(header) is not tuple:
            raise TypeError(f"headers are tuples of name and value, not {type(header).__name__}")
        name, value = cast("tuple[str, bytes | None]", header)  # on Kafka, a value may be null
        if type(name) is not str:
            raise TypeError(f"header names are str, not {type(name).__name__}")
        name_bytes = len(name.encode())
        size += name_bytes + name_bytes.bit_length() // 7 + 1
        if value is None:  # one byte, which stands for null
            size += 1
        elif type(value) is bytes:
            size += len(value) + len(value).bit_length() // 7 + 1
        else:
            raise TypeError(f"header values are bytes, not {type(value).__name__}")
    return size
