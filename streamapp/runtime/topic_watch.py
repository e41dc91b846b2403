"""Looks at the topics of all segments of a worker: they may have been deleted, or have grown."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from itertools import islice

from streamapp.brokers.protocols import Admin
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.runtime.running_segment import RunningSegment

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
        listing_seconds: least time between two looks for topics that match a pattern.
    """

    def __init__(
        self,
        admin: Admin,
        runners: Sequence[RunningSegment],
        clock: Clock,
        *,
        interval_seconds: float,
        listing_seconds: float,
    ) -> None:
        self._admin = admin
        self._runners = runners
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._listing_seconds = listing_seconds
        self._lists_at = clock.monotonic() + listing_seconds

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(self._interval_seconds)
            await self.look()

    async def look(self) -> None:
        """Look once. Without an answer, everything stays as it was known."""
        partitions: dict[str, int] = {}
        try:
            await self._look_for_matching()
            names = sorted({name for runner in self._runners for name in runner.topics.names})
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

    async def _look_for_matching(self) -> None:
        """Tell the segments that read topics by a pattern which topics there are."""
        following = [r.topics for r in self._runners if r.topics.follows_patterns]
        now = self._clock.monotonic()
        if not following or now < self._lists_at:
            return
        self._lists_at = now + self._listing_seconds
        async with asyncio.timeout(ANSWER_SECONDS):
            existing = await self._admin.list_topics()
        for topics in following:
            topics.note_existing(existing)


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while some := list(islice(rest, TOPICS_AT_ONCE)):
        yield some
