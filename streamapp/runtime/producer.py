"""The producer that the stages of a worker share, and its replacement after a failure."""

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


class SharedProducer:
    """One at-least-once producer for all stages of a worker.

    After a failed batch an idempotent producer is done for: every later batch would fail or
    leave a hole. It is replaced, and everybody who uses it delivers again from its frontier.

    Attributes:
        generation: counts the producers; 1 is the first.
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
            BrokerError: there is none just now.
        """
        if self._producer is None:
            raise BrokerError("the producer is being replaced")
        return self._producer

    def is_current(self, generation: int) -> bool:
        """Whether the producer of this generation is there, and not being replaced."""
        return self._producer is not None and generation == self.generation

    def on_replaced(self, user: Callable[[], None]) -> None:
        """Have `user` called whenever the producer is given up: its batches are lost."""
        self._users.append(user)

    async def start(self) -> None:
        """Connect the first producer."""
        await self._start_one()

    async def replace(self, generation: int) -> None:
        """Replace the producer of this generation, unless that has been done.

        Tries until it works; cancel it to give up.
        """
        async with self._replacing:
            if generation != self.generation:
                return
            for user in self._users:  # before anything is awaited: nobody may use it any more
                user()
            await self._give_up_current()
            attempt = 0
            while True:
                try:
                    await self._start_one()
                except BrokerError as error:
                    attempt += 1
                    log.warning("no new producer yet, trying again: %s", error)
                    await self._clock.sleep(self._backoff.delay_seconds(attempt, self._rng))
                else:
                    return

    async def stop(self) -> None:
        """Close the producer; what is unsent is lost, so flush first."""
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
            log.warning("the producer was abandoned without a clean end: %r", error)
