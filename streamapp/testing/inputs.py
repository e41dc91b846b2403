"""The inputs of a test, and how they are written to the source topics."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Generic, TypeVar

from streamapp.brokers.partitioner import partition_for
from streamapp.brokers.protocols import Producer
from streamapp.errors import EncodeError, PipelineError
from streamapp.pipeline.fits import type_name
from streamapp.pipeline.source import Declared
from streamapp.pipeline.sources import source_index
from streamapp.record import Headers
from streamapp.topics.topic_pattern import TopicPattern

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
        topic: the source topic to write to; needed if several take values of this type, and for a
            pattern, whose topics are made when they are first written to.
    """

    value: ValueT_co | bytes | None
    key: bytes | str | None = None
    headers: Headers = ()
    timestamp: datetime | None = None
    topic: str | None = None


class InputWriter:
    """Writes inputs to the source topics of a pipeline.

    A record with a key goes to the partition that Kafka's own clients choose; records without a
    key take the partitions in turn.

    Args:
        where: beginning of error messages, such as `pipeline 'p'`.
        sources: the source topics, and patterns of them.
        partitions: number of partitions of each topic.
        producer: a producer that is started.
        create: makes a topic that matches a pattern, unless it exists.
    """

    def __init__(
        self,
        where: str,
        sources: Sequence[Declared],
        partitions: int,
        producer: Producer,
        *,
        create: Callable[[str], Awaitable[None]],
    ) -> None:
        self._where = where
        self._sources = sources
        self._create = create
        self._partitions = partitions
        self._producer = producer
        self._turn = count()

    async def write(self, inputs: Iterable[object]) -> None:
        """Write values, bytes and `Input`s in their order; returns when all are acknowledged.

        Raises:
            PipelineError: several topics take a value; none of the inputs is written.
            EncodeError: a value is not of the topic's schema; none of the inputs is written.
        """
        records = [item if isinstance(item, Input) else Input(item) for item in inputs]
        encoded = [(record, *self._encode(record)) for record in records]
        for record, topic, value in encoded:
            await self._create(topic)
            key = record.key.encode() if isinstance(record.key, str) else record.key
            batch = self._producer.create_batch()
            batch.append(
                timestamp=None if record.timestamp is None else _milliseconds(record.timestamp),
                key=key,
                value=value,
                headers=record.headers,
            )
            sent = self._producer.send_batch(batch, topic, self._partition(key))
            await (await sent)

    def _encode(self, record: Input[Any]) -> tuple[str, bytes | None]:
        """Name of the topic that the record goes to, and its value there."""
        value = record.value
        index = source_index(self._where, self._sources, value, record.topic, argument="topic")
        source = self._sources[index]
        topic = record.topic or source.name
        if record.topic is None and isinstance(source, TopicPattern):
            raise PipelineError(
                f"{self._where}: an input is for the pattern {source.name!r}; name a topic that"
                " matches with topic="
            )
        if value is None or isinstance(value, bytes):
            return topic, value
        try:
            if isinstance(value, source.codec.instance_of):
                return topic, source.codec.encode(value)
        except (ValueError, TypeError) as error:
            raise EncodeError(f"{_mismatch(topic, source, value)}: {error}") from error
        raise EncodeError(_mismatch(topic, source, value))

    def _partition(self, key: bytes | None) -> int:
        if key is None:
            return next(self._turn) % self._partitions
        return partition_for(key, self._partitions)


def _milliseconds(timestamp: datetime) -> int:
    return round(timestamp.timestamp() * 1000)


def _mismatch(topic: str, source: Declared, value: object) -> str:
    return (
        f"topic {topic!r} takes {type_name(source.schema)}, but an input is of type"
        f" {type(value).__name__}; give bytes to write a value that does not fit"
    )
