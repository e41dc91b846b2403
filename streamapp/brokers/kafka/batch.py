"""A batch on its way into one partition, encoded by aiokafka.

Hot path: `appender` runs for each record; it is compiled.
"""

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from streamapp.brokers.protocols import Append
from streamapp.record import Headers


class KafkaBatch(BatchBuilder):  # type: ignore[misc]  # untyped base
    """aiokafka's builder, which insists on a list of headers while its records carry tuples."""

    def __init__(self, max_bytes: int) -> None:
        # Uncompressed: what does not get smaller would get larger, and over its topic's limit.
        super().__init__(max_bytes, DefaultRecordBatch.CODEC_NONE)
        self.appender: Append = self._builder.append  # compiled: nothing of Python is between

    def seal(self, records: int) -> None:
        """Take no more records; so many went through `appender`."""
        self._relative_offset = records
        self.close()

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
