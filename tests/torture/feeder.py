"""Writes the records of a scenario, and keeps a ledger of what became of each send."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

_FLUSH_SECONDS = 150.0
_TICK_SECONDS = 0.02
_PENDING_RECORDS = 20_000
_BATCH_BYTES = 256 * 1024


class Feeder:
    """A plain producer with a ledger.

    A send that was not acknowledged counts as unknown, not as failed: its record may be written.

    Args:
        producer: a started client.
        topic: the topic to write to.
        keys: number of different keys. Two neighbouring records share one, so that records of one
            key are worked on at the same time if the runtime does not prevent it.

    Attributes:
        acknowledged: ids of records that the broker has acknowledged.
        unknown: ids of records whose send failed or did not end.
        sent: number of records that were sent.
    """

    def __init__(self, producer: Any, topic: str, keys: int) -> None:
        self._producer = producer
        self._topic = topic
        self._keys = keys
        self._pending: dict[asyncio.Future[Any], int] = {}
        self._feeding: asyncio.Task[None] | None = None
        self.acknowledged: set[int] = set()
        self.unknown: set[int] = set()
        self.sent = 0

    @classmethod
    @asynccontextmanager
    async def on(cls, bootstrap_servers: str, topic: str, *, keys: int) -> AsyncIterator["Feeder"]:
        """A started feeder; at the end of the block it is stopped, whatever is unacknowledged."""
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=_BATCH_BYTES,
        )
        await producer.start()
        feeder = cls(producer, topic, keys)
        try:
            yield feeder
        finally:
            if feeder._feeding is not None:
                feeder._feeding.cancel()
                await asyncio.wait({feeder._feeding})
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(10):
                    await producer.stop()

    async def load(self, records: int) -> None:
        """Send this number of records as fast as possible, and wait for their acknowledgements."""
        for _ in range(records):
            await self._send()
        await self.flush()

    def feed(self, records_per_second: float) -> None:
        """Send at this rate from now on, in the background."""
        self._feeding = asyncio.create_task(self._feed(records_per_second))

    async def stop(self) -> None:
        """Send no more, and wait for the sends in progress."""
        if self._feeding is not None:
            self._feeding.cancel()
            with suppress(asyncio.CancelledError):
                await self._feeding
            self._feeding = None
        await self.flush()

    async def flush(self) -> None:
        """Wait for the acknowledgements; sends without one in time count as unknown."""
        if self._pending:
            await asyncio.wait(list(self._pending), timeout=_FLUSH_SECONDS)
        await asyncio.sleep(0)  # the last callbacks
        self.unknown.update(self._pending.values())

    async def _feed(self, records_per_second: float) -> None:
        began, first = time.monotonic(), self.sent
        while True:
            due = first + int((time.monotonic() - began) * records_per_second)
            # In an outage the records wait here rather than in the client.
            while self.sent < due and len(self._pending) < _PENDING_RECORDS:
                await self._send()
            await asyncio.sleep(_TICK_SECONDS)

    async def _send(self) -> None:
        number, self.sent = self.sent, self.sent + 1
        key, value = b"k%d" % (number // 2 % self._keys), json.dumps({"id": number}).encode()
        try:
            future = await self._producer.send(self._topic, value, key)
        except (KafkaError, asyncio.CancelledError) as error:
            self.unknown.add(number)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        self._pending[future] = number
        future.add_done_callback(self._note)

    def _note(self, future: "asyncio.Future[Any]") -> None:
        number = self._pending.pop(future)
        if future.cancelled() or future.exception() is not None:
            self.unknown.add(number)
        else:
            self.unknown.discard(number)
            self.acknowledged.add(number)
