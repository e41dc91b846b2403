"""Tells the stages of a worker how many of their dead letters are open, on a slow rhythm.

Of the workers of a stage, one counts: that which has the first partition of its group. So nothing
is counted twice, nobody has to be chosen, and after a rebalance another one goes on.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence

from streamapp.brokers.protocols import Admin, ReadingBroker
from streamapp.clock import Clock
from streamapp.dead_letter_tools.letter_counter import LetterCounter
from streamapp.errors import StreamappError
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.running_segment import RunningSegment

log = logging.getLogger(__name__)

STEP_SECONDS = 5.0
"""Time between two looks whether stages are ours that were not."""

COUNT_SECONDS = 120.0
"""Longest time that a count may take; then the figures are unknown."""


class LetterWatch:
    """Counts the open letters of the stages of which this worker has the first partition.

    An error makes the figures unknown, and is nobody else's trouble.

    Args:
        broker: reads letters and ledgers.
        admin: asks for offsets.
        runners: the segments.
        clock: waits between two counts.
        interval_seconds: time between two counts.
    """

    def __init__(
        self,
        broker: ReadingBroker,
        admin: Admin,
        runners: Sequence[RunningSegment],
        clock: Clock,
        *,
        interval_seconds: float,
    ) -> None:
        self._counter = LetterCounter(broker, admin, clock)
        self._runners = runners
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._counted: frozenset[str] = frozenset()
        self._next_at = clock.monotonic()
        self._is_silent = False

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            await self._clock.sleep(min(STEP_SECONDS, self._interval_seconds))
            await self.look()

    async def look(self) -> None:
        """Count if it is time, or if there are stages that were not counted."""
        topics = frozenset(topic for _, topic, is_ours in self._stages() if is_ours)
        now = self._clock.monotonic()
        if now < self._next_at and topics <= self._counted:
            self._tell(None)
            return
        self._counted, self._next_at = topics, now + self._interval_seconds
        found: dict[str, OpenLetters] = {}
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                found = dict(await self._counter.count(topics))
        except (StreamappError, TimeoutError) as error:
            level = logging.DEBUG if self._is_silent else logging.WARNING
            log.log(level, "dead letters cannot be counted: %s", str(error) or "no answer in time")
            self._is_silent = True
        else:
            self._is_silent = False
        self._tell(found)

    def _tell(self, found: dict[str, OpenLetters] | None) -> None:
        """Set what was found; stages of others are unknown here, as their workers tell of them."""
        for metrics, topic, is_ours in self._stages():
            if not is_ours:
                metrics.open_letters = None
            elif found is not None:
                metrics.open_letters = found.get(topic)

    def _stages(self) -> Iterator[tuple[StageMetrics, str, bool]]:
        """All stages with their dead-letter topics, and whether they are counted here."""
        for runner in self._runners:
            is_ours = not runner.ends and _has_first_partition(runner.metrics[0])
            for step, metrics in zip(runner.segment.steps, runner.metrics, strict=True):
                yield metrics, step.dead_letters, is_ours


def _has_first_partition(head: StageMetrics) -> bool:
    first = min((topic for topic, count in head.topic_partitions.items() if count), default=None)
    return first is not None and TopicPartition(first, 0) in head.partitions
