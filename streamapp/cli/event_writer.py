"""Writes generated events in whole batches, and remembers which are acknowledged.

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
        partition: where they went.
        batch: the encoded records.
        events: the same, as they were generated.
        acknowledgement: done when they are written; `None` before they are handed over.
    """

    partition: int
    batch: BatchBuilder
    events: list[GeneratedEvent] = field(default_factory=list)
    acknowledgement: "asyncio.Future[object] | None" = None

    @property
    def base_offset(self) -> int | None:
        """Offset of the first event; `None` while or where it is not known."""
        if self.acknowledgement is None:
            return None
        answer = self.acknowledgement.result()
        # The Kafka client answers with its metadata; -1 is a batch that it had to send twice.
        offset = answer if isinstance(answer, int) else getattr(answer, "offset", None)
        return None if offset is None or offset < 0 else int(offset)


def nobody(_batch: WrittenBatch) -> None:
    """Stand for a caller who only counts."""


class EventWriter:
    """Writes events to one topic, by key as Kafka's default partitioner has it.

    Args:
        producer: started.
        topic: where to.
        partitions: how many it has.
        on_written: called with each batch that is acknowledged, in the order of writing.

    Attributes:
        written: acknowledged events.
        unsettled: batches that are not known to be written, the oldest first.
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        partitions: int,
        *,
        on_written: Callable[[WrittenBatch], None] = nobody,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._partition_of: dict[bytes, int] = {}
        self._on_written = on_written
        self.written = 0
        self.unsettled: deque[WrittenBatch] = deque()

    async def write(self, events: Sequence[GeneratedEvent]) -> None:
        """Hand events over; their acknowledgements are waited for by `settle`.

        Raises:
            BrokerError: a batch could not be handed over.
        """
        batches = self._fill(events)
        self.unsettled.extend(batches)  # before the first wait: from here on they may be written
        for written in batches:
            try:
                async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                    written.acknowledgement = await self._producer.send_batch(
                        written.batch, self._topic, written.partition
                    )
                    written.acknowledgement.add_done_callback(_seen)
            except TimeoutError:
                raise self._overdue() from None

    async def settle(self, *, leave: int = 0) -> None:
        """Wait until at most `leave` batches are unsettled, and take all that are written by then.

        Raises:
            BrokerError: a batch failed, or was not acknowledged in time.
        """
        while self.unsettled and (len(self.unsettled) > leave or self._oldest_is_done()):
            acknowledgement = self.unsettled[0].acknowledgement
            if acknowledgement is None:
                return
            try:
                async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                    await asyncio.shield(acknowledgement)
            except TimeoutError:
                raise self._overdue() from None
            batch = self.unsettled.popleft()
            self.written += len(batch.events)
            self._on_written(batch)

    def _oldest_is_done(self) -> bool:
        acknowledgement = self.unsettled[0].acknowledgement
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


def _seen(acknowledgement: "asyncio.Future[object]") -> None:
    """Take note of a failure: after the first one nobody waits for the others."""
    if not acknowledgement.cancelled():
        acknowledgement.exception()
