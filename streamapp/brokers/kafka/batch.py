"""A batch of records for one partition, encoded by aiokafka.

Hot path: `appender` runs for each record; it is compiled code of aiokafka.
"""

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from streamapp.brokers.protocols import BatchAppend
from streamapp.record import Headers


class KafkaBatch(BatchBuilder):  # type: ignore[misc]  # untyped base
    """aiokafka's batch builder, with a faster way to append.

    `append` makes a list of the headers: the builder accepts only lists, while records that were
    read have tuples.
    """

    def __init__(self, max_bytes: int) -> None:
        # Uncompressed: compression makes incompressible values larger, and such a batch could
        # exceed the limit of its topic.
        super().__init__(max_bytes, DefaultRecordBatch.CODEC_NONE)
        # The compiled method itself, so that appending calls no Python function.
        self.appender: BatchAppend = self._builder.append

    def seal(self, records: int) -> None:
        """Accept no more records.

        Args:
            records: how many were appended with `appender`.
        """
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
