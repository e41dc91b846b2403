"""The producer that all stages of a worker share, and how it is replaced after a failed batch."""

import asyncio
import logging
import random
from collections.abc import Callable

from streamapp.brokers.protocols import BatchBuilder, Broker, Producer, ProducerConfig
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.policies.backoff import Backoff

log = logging.getLogger(__name__)

STOP_TIMEOUT_SECONDS = 5.0
"""Longest wait for a producer to close. Its unsent batches are lost in either case."""


ANSWER_TIMEOUT_SECONDS = 2.0
"""Longest wait, when a batch has failed, for the answers to those that were sent with it.

Kafka answers within milliseconds. Whatever is acknowledged need not be written again.
"""


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
        self._unanswered: set[asyncio.Future[object]] = set()
        # Calls of `send_batch` that have not returned: what says that they have, and what ends them
        self._handovers: dict[asyncio.Future[object], asyncio.Timeout] = {}
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

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        """Send a batch with the current producer.

        Raises:
            BrokerError: the producer is or was replaced, or does not accept the batch.
            TopicError: there is no such topic or partition.
        """
        loop = asyncio.get_running_loop()
        taken: asyncio.Future[object] = loop.create_future()
        scope = asyncio.timeout(None)
        self._handovers[taken] = scope
        try:
            async with scope:
                answer = await self.current.send_batch(batch, topic, partition)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise BrokerError("the producer was replaced before it took this batch") from error
        finally:
            del self._handovers[taken]
            taken.cancel()
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)
        return answer

    async def replace(self, generation: int) -> None:
        """Replace the producer of this generation, unless another caller has done so.

        It is tried until it succeeds; to give up, cancel this.
        """
        async with self._replacing:
            if generation != self.generation:
                return
            for user in self._users:  # before the first `await`, so that nobody uses it meanwhile
                user()
            producer, self._producer = self._producer, None
            await self._wait_for_answers()
            await self._give_up(producer)
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
        producer, self._producer = self._producer, None
        await self._give_up(producer)

    async def _start_one(self) -> None:
        producer = self._broker.producer(self._config)
        await producer.start()
        self._producer = producer
        self.generation += 1

    async def _wait_for_answers(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + ANSWER_TIMEOUT_SECONDS
        while waiting := {*self._handovers, *self._unanswered}:
            left = until - loop.time()
            if left <= 0:
                return
            await asyncio.wait(waiting, timeout=left)

    async def _give_up(self, producer: Producer | None) -> None:
        now = asyncio.get_running_loop().time()
        for scope in self._handovers.values():  # or a closed producer could take a batch
            if not scope.expired():
                scope.reschedule(now)
        if producer is None:
            return
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await producer.stop()
        except (BrokerError, TimeoutError) as error:
            log.warning("the producer did not close properly: %r", error)
