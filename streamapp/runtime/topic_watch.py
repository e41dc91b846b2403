"""Looks at the topics of all segments of a worker: they may have been deleted, or have grown."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from itertools import islice

from streamapp.brokers.protocols import Admin
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.runtime.segment import SegmentRunner

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""Longest wait for an answer of the broker; the next look comes soon."""

TOPICS_AT_ONCE = 100
"""Topics of one request: reading the answer for so many takes a few milliseconds."""


class TopicWatch:
    """Tells running segments at regular intervals how many partitions their topics have.

    One watch for a worker, because its segments have topics in common.

    Args:
        admin: asks the broker.
        runners: the segments.
        clock: waits between two looks.
        interval_seconds: time between two looks.
    """

    def __init__(
        self,
        admin: Admin,
        runners: Sequence[SegmentRunner],
        clock: Clock,
        *,
        interval_seconds: float,
    ) -> None:
        self._admin = admin
        self._runners = runners
        self._clock = clock
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(self._interval_seconds)
            await self.look()

    async def look(self) -> None:
        """Look once. Without an answer, everything stays as it was known."""
        names = sorted({name for runner in self._runners for name in runner.topics.names})
        partitions: dict[str, int] = {}
        try:
            for some in _batches(names):
                async with asyncio.timeout(ANSWER_SECONDS):
                    partitions |= await self._admin.partition_counts(some)
        except (BrokerError, TimeoutError) as error:
            log.debug("topics could not be looked at: %r", error)
            for runner in self._runners:
                runner.topics.note_silence()
            return
        for runner in self._runners:
            await runner.topics.look(partitions)


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while some := list(islice(rest, TOPICS_AT_ONCE)):
        yield some
