"""The inputs of a test, and how they are written to the source topic."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Generic, TypeVar

from streamapp.brokers.partitioner import partition_for
from streamapp.brokers.protocols import Producer
from streamapp.errors import EncodeError
from streamapp.record import Headers
from streamapp.topics.topic import Topic

ValueT_co = TypeVar("ValueT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Input(Generic[ValueT_co]):
    """A record to write to the source topic.

    Attributes:
        value: a value of the topic's schema, or bytes to write as they are; `None` writes a
            tombstone, a record without a value.
        key: the record's key, text as UTF-8.
        headers: the record's headers.
        timestamp: the record's timestamp; `None` is the time of the clock.
    """

    value: ValueT_co | bytes | None
    key: bytes | str | None = None
    headers: Headers = ()
    timestamp: datetime | None = None


class InputWriter:
    """Writes inputs to the source topic of a pipeline.

    A record with a key goes to the partition that Kafka's own clients choose; records without a
    key take the partitions in turn.

    Args:
        topic: the source topic.
        partitions: number of its partitions.
        producer: a producer that is started.
    """

    def __init__(self, topic: Topic[Any], partitions: int, producer: Producer) -> None:
        self._topic = topic
        self._partitions = partitions
        self._producer = producer
        self._turn = count()

    async def write(self, inputs: Iterable[object]) -> None:
        """Write values, bytes and `Input`s in their order; returns when all are acknowledged.

        Raises:
            EncodeError: a value is not of the topic's schema; none of the inputs is written.
        """
        records = [item if isinstance(item, Input) else Input(item) for item in inputs]
        encoded = [(record, self._encode(record.value)) for record in records]
        for record, value in encoded:
            key = record.key.encode() if isinstance(record.key, str) else record.key
            batch = self._producer.create_batch()
            batch.append(
                timestamp=None if record.timestamp is None else _milliseconds(record.timestamp),
                key=key,
                value=value,
                headers=record.headers,
            )
            sent = self._producer.send_batch(batch, self._topic.name, self._partition(key))
            await (await sent)

    def _encode(self, value: object) -> bytes | None:
        if value is None or isinstance(value, bytes):
            return value
        codec = self._topic.codec
        try:
            if isinstance(value, codec.instance_of):
                return codec.encode(value)
        except (ValueError, TypeError) as error:
            raise EncodeError(f"{self._mismatch(value)}: {error}") from error
        raise EncodeError(self._mismatch(value))

    def _mismatch(self, value: object) -> str:
        schema = self._topic.schema
        wanted = schema.__name__ if isinstance(schema, type) else schema
        return (
            f"topic {self._topic.name!r} takes {wanted}, but an input is of type"
            f" {type(value).__name__}; give bytes to write a value that does not fit"
        )

    def _partition(self, key: bytes | None) -> int:
        if key is None:
            return next(self._turn) % self._partitions
        return partition_for(key, self._partitions)


def _milliseconds(timestamp: datetime) -> int:
    return round(timestamp.timestamp() * 1000)
