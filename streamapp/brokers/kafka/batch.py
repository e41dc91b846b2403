"""A batch of records for one partition, encoded in compiled code and compressed here.

Hot path: `appender` runs for each record; it is compiled code of aiokafka, or of the native leaves,
which make the same bytes.

aiokafka would compress a batch even if that makes it larger, and such a batch could exceed the
limit of its topic. So it builds the batch uncompressed, and the records are compressed afterwards
(https://kafka.apache.org/documentation/#recordbatch).
"""

import asyncio
import struct
from concurrent.futures import Future
from functools import partial
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c

from streamapp.brokers.compression import BATCH_HEADER_BYTES, BatchCompression
from streamapp.brokers.kafka.compressor import Compressor
from streamapp.brokers.protocols import BatchAppend
from streamapp.errors import BrokerError
from streamapp.native_leaves import SELECTED, native
from streamapp.record import Headers

_LENGTH_AT, _CRC_AT, _ATTRIBUTES_AT, _PRODUCER_AT = 8, 17, 21, 43
_LENGTH_COUNTS_FROM = _LENGTH_AT + 4
_NOT_COMPRESSED = BatchCompression()


class KafkaBatch(BatchBuilder):  # type: ignore[misc]  # untyped base
    """aiokafka's batch builder, with a faster way to append and with compression.

    `append` makes a list of the headers: the builder accepts only lists, while records that were
    read have tuples.
    """

    def __init__(
        self,
        max_bytes: int,
        compression: BatchCompression = _NOT_COMPRESSED,
        *,
        is_transactional: bool = False,
        compressor: Compressor | None = None,
    ) -> None:
        self._compression = compression
        self._compressor = compressor
        self._in_thread: Future[bytearray] | None = None
        self._sent: bytearray | None = None
        # The flag stands in the batch: without it, readers see it before its transaction ends.
        super().__init__(
            max_bytes, DefaultRecordBatch.CODEC_NONE, is_transactional=is_transactional
        )
        if SELECTED.is_native:
            self._builder: Any = native.RecordBatch(max_bytes, is_transactional=is_transactional)
        # The compiled method itself, so that appending calls no Python function.
        self.appender: BatchAppend = self._builder.append

    @property
    def builder(self) -> object:
        """What encodes its records: the native leaves append to theirs without a call of Python."""
        return self._builder

    def seal(self, records: int) -> None:
        """Accept no more records.

        Args:
            records: how many were appended with `appender`.
        """
        self._relative_offset = records
        self.close()
        self._begin_to_compress()

    async def compressed(self) -> None:
        """Wait until it is compressed, if that is done in a thread.

        Raises:
            BrokerError: the codec has failed.
        """
        self._begin_to_compress()
        if self._in_thread is None:
            return
        try:
            self._sent = await asyncio.wrap_future(self._in_thread)
        except BrokerError:
            raise
        except Exception as error:
            raise BrokerError(
                f"a batch could not be compressed with {self._compression.usual}: "
                f"{type(error).__name__}"
            ) from error
        self._buffer = self._sent

    def _begin_to_compress(self) -> None:
        if self._compressor is None or self._in_thread is not None:
            return
        batch = super()._build()
        self._in_thread = self._compressor.begin(
            partial(_compressed, compression=self._compression), batch
        )

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> object | None:
        """Append a record; `None` means that the batch is full and the record was not added."""
        if self._closed:
            return None
        appended: object | None = self._builder.append(
            self._relative_offset,
            timestamp,
            key=key,
            value=value,
            headers=list(headers) if headers else [],
        )
        if appended is None:
            self.close()
        else:
            self._relative_offset += 1
        return appended

    def _set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int
    ) -> None:
        if self._sent is None:
            self._builder.set_producer_state(producer_id, producer_epoch, base_sequence)
            return
        state = producer_id, producer_epoch, base_sequence
        struct.pack_into(">qhi", self._sent, _PRODUCER_AT, *state)
        _set_checksum(self._sent)

    def _build(self) -> bytearray:
        """The batch as it is sent; the client asks for it when it has set its sequence number."""
        if self._sent is None:
            self._sent = self._buffer = _compressed(super()._build(), self._compression)
        return self._sent


def _compressed(batch: bytearray, compression: BatchCompression) -> bytearray:
    if compression.never_applies(len(batch)):
        return batch
    packed = compression.apply(bytes(memoryview(batch)[BATCH_HEADER_BYTES:]))
    if packed is None:
        return batch
    codec, records = packed
    smaller = batch[:BATCH_HEADER_BYTES] + records
    (attributes,) = struct.unpack_from(">h", smaller, _ATTRIBUTES_AT)
    struct.pack_into(">h", smaller, _ATTRIBUTES_AT, attributes | codec.attribute)
    struct.pack_into(">i", smaller, _LENGTH_AT, len(smaller) - _LENGTH_COUNTS_FROM)
    _set_checksum(smaller)
    return smaller


def _set_checksum(batch: bytearray) -> None:
    checksum = calc_crc32c(memoryview(batch)[_ATTRIBUTES_AT:])
    struct.pack_into(">I", batch, _CRC_AT, checksum)
