"""Replay: everything above the frontiers is read again, because the producer was lost."""

import asyncio
import logging
from collections.abc import Collection

from streamapp.errors import BrokerError
from streamapp.policies.backoff import Backoff
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.config import Environment
from streamapp.runtime.in_flight import InFlight
from streamapp.runtime.intake import Intake
from streamapp.runtime.output_topic import OutputTopic

log = logging.getLogger(__name__)

REPLAY_BACKOFF = Backoff(base_seconds=0.5, max_seconds=10.0)
"""Waits before the second and later replays while no batch was acknowledged in between."""

CHECK_SECONDS = 1.0
"""Time between two checks of partitions that stay closed until a stuck attempt has ended."""


class Replay:
    """Suspends the partitions when the producer is lost, and opens them with a new producer.

    Args:
        assignment: the partitions.
        intake: told when partitions are open again.
        in_flight: records that are forgotten.
        targets: output topics, whose limits are read again.
        environment: the shared producer, the clock, random numbers for backoff.

    Attributes:
        needed: set from the loss of a producer until another can be used.
    """

    def __init__(
        self,
        assignment: Assignment,
        intake: Intake,
        in_flight: InFlight,
        targets: Collection[OutputTopic],
        environment: Environment,
    ) -> None:
        self._assignment = assignment
        self._intake = intake
        self._in_flight = in_flight
        self._targets = targets
        self._env = environment
        self._generation = environment.producer.generation
        self._failed_batches = 0  # since the last one that was acknowledged
        self.needed = asyncio.Event()
        environment.producer.on_replaced(self.suspend)

    def batch_failed(self, *, at_once: bool = False) -> None:
        """Begin a replay, because a batch has failed; each waits longer than the previous one.

        Args:
            at_once: whether it begins without a wait, because something is different now.
        """
        self._failed_batches += not at_once
        self.suspend()

    def batches_acknowledged(self) -> None:
        """Let the next replay begin without a wait, because batches are acknowledged again."""
        self._failed_batches = 0

    def suspend(self) -> None:
        """Suspend all partitions and forget what is in flight, because the producer is lost."""
        self._assignment.suspend()
        self.needed.set()  # before a drain is told that its work was forgotten
        self._in_flight.forget()

    async def run(self) -> None:
        """Replay whenever it is needed, until cancelled."""
        while True:
            await self.needed.wait()
            if self._failed_batches > 1:
                delay = REPLAY_BACKOFF.delay_seconds(self._failed_batches - 1, self._env.rng)
                await self._env.clock.sleep(delay)
            producer, usable = self._env.producer, False
            still_running: Collection[TopicPartition] = ()
            while not usable:  # another segment can lose the new producer while this one waits
                await producer.replace(self._generation)
                self._generation = producer.generation
                await self._refresh_limits()
                still_running = await self._in_flight.wait_for_cancelled_attempts(
                    self._env.config.stop_timeout_seconds
                )
                usable = producer.is_current(self._generation)
            self._in_flight.keep_acknowledged()  # before these records are read again
            self.needed.clear()
            while not self.needed.is_set():
                self._open(still_running)
                if not self._assignment.suspended:
                    break
                still_running = await self._in_flight.wait_for_cancelled_attempts(CHECK_SECONDS)

    def _open(self, still_running: Collection[TopicPartition]) -> None:
        """Open suspended partitions, except those with an attempt that still runs.

        Refetch offsets are taken for these partitions only. Those of others are left for
        `Membership.assigned`, which may be about to open them.
        """
        names = [name for name in self._assignment.suspended if name not in still_running]
        self._assignment.resume(self._intake.take_refetch_offsets(names), except_for=still_running)
        self._intake.on_capacity()

    async def _refresh_limits(self) -> None:
        """Read the limits of topics again: the batch may have failed because one was lowered."""
        try:
            async with asyncio.timeout(self._env.config.stop_timeout_seconds):
                topics = await self._env.admin.describe_topics({t.name for t in self._targets})
        except (BrokerError, TimeoutError) as error:
            log.warning("the limits of topics could not be read; the old ones are used: %r", error)
            return
        for target in self._targets:
            if target.name in topics:
                target.describe(topics[target.name])
