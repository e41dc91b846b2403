"""The producer that all stages of a worker share, and how it is replaced after a failed batch."""

import asyncio
import logging
import random
from collections.abc import Callable

from streamapp.brokers.protocols import Broker, Producer, ProducerConfig
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.policies.backoff import Backoff

log = logging.getLogger(__name__)

STOP_TIMEOUT_SECONDS = 5.0
"""Longest wait for a producer to close. Its unsent batches are lost in either case."""


class SharedProducer:
    """One idempotent producer for all stages of a worker.

    After a failed batch such a producer cannot be used any more: later batches would fail, or be
    written although an earlier one is missing. So it is replaced, and every segment that uses it
    reads its partitions again from their frontiers.

    Attributes:
        generation: number of the current producer; the first is 1.
    """

    def __init__(
        self, broker: Broker, config: ProducerConfig, clock: Clock, rng: random.Random
    ) -> None:
        self._broker = broker
        self._config = config
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(base_seconds=0.5, max_seconds=10.0)
        self._producer: Producer | None = None
        self._replacing = asyncio.Lock()
        self._users: list[Callable[[], None]] = []
        self.generation = 0

    @property
    def current(self) -> Producer:
        """The producer to use now.

        Raises:
            BrokerError: it is being replaced.
        """
        if self._producer is None:
            raise BrokerError("the producer is being replaced")
        return self._producer

    def is_current(self, generation: int) -> bool:
        """Whether the producer of this generation can be used, and was not replaced."""
        return self._producer is not None and generation == self.generation

    def on_replaced(self, user: Callable[[], None]) -> None:
        """Have `user` called whenever a producer is given up: its unsent batches are lost."""
        self._users.append(user)

    async def start(self) -> None:
        """Connect the first producer."""
        await self._start_one()

    async def replace(self, generation: int) -> None:
        """Replace the producer of this generation, unless another caller has done so.

        It is tried until it succeeds; to give up, cancel this.
        """
        async with self._replacing:
            if generation != self.generation:
                return
            for user in self._users:  # before the first `await`, so that nobody uses it meanwhile
                user()
            await self._give_up_current()
            attempt = 0
            while True:
                try:
                    await self._start_one()
                except BrokerError as error:
                    attempt += 1
                    log.warning("a new producer could not be started, trying again: %s", error)
                    await self._clock.sleep(self._backoff.delay_seconds(attempt, self._rng))
                else:
                    return

    async def stop(self) -> None:
        """Close the producer. Unsent batches are lost, so outputs must be flushed before."""
        await self._give_up_current()

    async def _start_one(self) -> None:
        producer = self._broker.producer(self._config)
        await producer.start()
        self._producer = producer
        self.generation += 1

    async def _give_up_current(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await producer.stop()
        except (BrokerError, TimeoutError) as error:
            log.warning("the producer did not close properly: %r", error)
