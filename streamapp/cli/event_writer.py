"""Writes generated events in whole batches and tracks which are acknowledged.

Hot path: `_fill` runs for each event.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streamapp.brokers.partitioner import partition_for
from streamapp.brokers.protocols import BatchBuilder, Producer
from streamapp.errors import BrokerError
from streamapp.examples.playback.generator import EVENT_ID_HEADER, GeneratedEvent

DELIVERY_TIMEOUT_SECONDS = 60.0
"""Longest wait for one acknowledgement; idempotent batches never expire by themselves."""

_MAX_CACHED_KEYS = 65_536


@dataclass(slots=True, eq=False)
class WrittenBatch:
    """Events of one batch, in the order of their offsets.

    Attributes:
        partition: partition that the batch is for.
        batch: the encoded records.
        events: the events that these records were made of.
        acknowledgement: done when the broker has written the batch; `None` before it is sent.
    """

    partition: int
    batch: BatchBuilder
    events: list[GeneratedEvent] = field(default_factory=list)
    acknowledgement: "asyncio.Future[object] | None" = None

    @property
    def base_offset(self) -> int | None:
        """Offset of the first event; `None` if it is not known, or not yet."""
        if self.acknowledgement is None:
            return None
        answer = self.acknowledgement.result()
        # The Kafka client returns metadata; it has offset -1 when the client sent the batch twice.
        offset = answer if isinstance(answer, int) else getattr(answer, "offset", None)
        return None if offset is None or offset < 0 else int(offset)


def ignore_batch(_batch: WrittenBatch) -> None:
    """Do nothing with a written batch."""


class EventWriter:
    """Writes events to one topic, partitioned by key like Kafka's default partitioner.

    Args:
        producer: a started producer.
        topic: topic to write to.
        partitions: number of its partitions.
        on_written: called with each acknowledged batch, in the order of writing.

    Attributes:
        written: number of acknowledged events.
        unacknowledged: batches that are not acknowledged yet, the oldest first.
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        partitions: int,
        *,
        on_written: Callable[[WrittenBatch], None] = ignore_batch,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._partition_of: dict[bytes, int] = {}
        self._on_written = on_written
        self.written = 0
        self.unacknowledged: deque[WrittenBatch] = deque()

    async def write(self, events: Sequence[GeneratedEvent]) -> None:
        """Send events; `wait_for_acknowledgements` waits until they are written.

        Raises:
            BrokerError: a batch could not be sent.
        """
        batches = self._fill(events)
        self.unacknowledged.extend(batches)  # before an await: they may be written
        for written in batches:
            try:
                async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                    written.acknowledgement = await self._producer.send_batch(
                        written.batch, self._topic, written.partition
                    )
                    written.acknowledgement.add_done_callback(_mark_retrieved)
            except TimeoutError:
                raise self._overdue() from None

    async def wait_for_acknowledgements(self, *, leave: int = 0) -> None:
        """Wait until at most `leave` batches are unacknowledged; count those that are written.

        Raises:
            BrokerError: a batch failed, or was not acknowledged in time.
        """
        while self.unacknowledged and (len(self.unacknowledged) > leave or self._oldest_is_done()):
            acknowledgement = self.unacknowledged[0].acknowledgement
            if acknowledgement is None:
                return
            try:
                async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                    await asyncio.shield(acknowledgement)
            except TimeoutError:
                raise self._overdue() from None
            batch = self.unacknowledged.popleft()
            self.written += len(batch.events)
            self._on_written(batch)

    def _oldest_is_done(self) -> bool:
        acknowledgement = self.unacknowledged[0].acknowledgement
        return acknowledgement is not None and acknowledgement.done()

    def _fill(self, events: Sequence[GeneratedEvent]) -> list[WrittenBatch]:
        partition_of, producer = self._partition_of, self._producer
        if len(partition_of) > _MAX_CACHED_KEYS:
            partition_of.clear()
        filled: list[WrittenBatch] = []
        current: dict[int, WrittenBatch] = {}
        for event in events:
            key, value, timestamp, _, event_id = event
            partition = partition_of.get(key)
            if partition is None:
                partition = partition_of[key] = partition_for(key, self._partitions)
            headers = [(EVENT_ID_HEADER, event_id)]
            into = current.get(partition)
            if into is None or (
                into.batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
                is None
            ):
                into = current[partition] = WrittenBatch(partition, producer.create_batch())
                filled.append(into)
                into.batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
            into.events.append(event)
        return filled

    def _overdue(self) -> BrokerError:
        return BrokerError(
            f"topic {self._topic!r} did not acknowledge a batch within"
            f" {DELIVERY_TIMEOUT_SECONDS:g} s; check that Kafka runs and can be reached"
        )


def _mark_retrieved(acknowledgement: "asyncio.Future[object]") -> None:
    """Read a failure, so that asyncio does not log it: only the first failure is awaited."""
    if not acknowledgement.cancelled():
        acknowledgement.exception()
