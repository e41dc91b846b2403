"""A batch on its way into one partition, encoded by aiokafka.

Hot path: `append` runs for each record; the encoder behind it is compiled.
"""

from typing import Literal

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from streamapp.record import Headers

_CODECS = {
    None: DefaultRecordBatch.CODEC_NONE,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}


class KafkaBatch(BatchBuilder):  # type: ignore[misc]  # untyped base
    """aiokafka's builder, which insists on a list of headers while its records carry tuples."""

    def __init__(
        self, max_bytes: int, compression: Literal["gzip", "snappy", "lz4", "zstd"] | None
    ) -> None:
        super().__init__(max_bytes, _CODECS[compression])

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> object | None:
        """Append a record; `None` means that the batch is full and the record is not in it."""
        if self._closed:
            return None
        appended: object | None = self._builder.append(
            self._relative_offset, timestamp, key=key, value=value, headers=list(headers)
        )
        if appended is None:
            self.close()
        else:
            self._relative_offset += 1
        return appended
