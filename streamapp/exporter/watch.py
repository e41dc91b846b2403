"""Looks at stages on a rhythm, over outages of Kafka: what is not known is not told."""

import asyncio
import logging
from collections.abc import Iterator, Sequence

from streamapp.brokers.protocols import Admin, ReadingBroker
from streamapp.clock import Clock
from streamapp.dead_letter_tools.letter_counter import LetterCounter
from streamapp.errors import BrokerError, StreamappError
from streamapp.exporter.group_reader import GroupReader
from streamapp.exporter.snapshot import LettersOfStages, Snapshot, StageName
from streamapp.pipeline.topology import Segment

log = logging.getLogger(__name__)

LOOK_SECONDS = 30.0
"""Longest time that a look may take; after it, what was known before is not told any more."""

COUNT_SECONDS = 120.0
"""Longest time that dead letters may be counted for."""

LETTERS_EVERY = 4
"""Dead letters are counted at every so many looks."""


class OutsideWatch:
    """What Kafka says of declared stages, as of the last look.

    Args:
        broker: has the topics and groups.
        clock: waits between two looks.
        segments: what the stages are.
        interval_seconds: time between two looks.

    Attributes:
        why_unknown: why nothing is known; empty while something is.
    """

    def __init__(
        self,
        broker: ReadingBroker,
        clock: Clock,
        segments: Sequence[Segment],
        *,
        interval_seconds: float,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._segments = segments
        self._interval_seconds = interval_seconds
        self._snapshot: Snapshot | None = None
        self._letters: LettersOfStages = {}
        self._letters_at = 0.0
        self._has_told = False
        self.why_unknown = "Kafka has not answered yet"

    def snapshot(self) -> Snapshot | None:
        """What was found at the last look; `None` if it failed, or is too long ago."""
        found = self._snapshot
        kept = self._interval_seconds + LOOK_SECONDS + COUNT_SECONDS
        return None if found is None or self._is_older(found.at, kept) else found

    def letters(self) -> LettersOfStages:
        """The open dead letters of the stages; none of those of which they are not known."""
        kept = LETTERS_EVERY * (self._interval_seconds + LOOK_SECONDS) + COUNT_SECONDS
        is_old = self.snapshot() is None or self._is_older(self._letters_at, kept)
        return {} if is_old else self._letters

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            admin = self._broker.admin()
            try:
                await admin.start()
                try:
                    await self._look_on(admin)
                finally:
                    await admin.stop()
            except BrokerError as error:
                self._fail(error)
            await self._clock.sleep(self._interval_seconds)

    async def _look_on(self, admin: Admin) -> None:
        groups = GroupReader(self._broker, admin, self._clock, self._segments)
        counter = LetterCounter(self._broker, admin, self._clock)
        number = 0
        while True:
            await self.look(groups, counter if number % LETTERS_EVERY == 0 else None)
            number += 1 if self.snapshot() is not None else 0
            await self._clock.sleep(self._interval_seconds)

    async def look(self, groups: GroupReader, counter: LetterCounter | None) -> None:
        """Look once, and count dead letters with a counter."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                self._snapshot = await groups.look()
        except (StreamappError, TimeoutError) as error:
            self._fail(error)
            return
        if self._has_told:
            log.info("Kafka answers again: lag and members are known")
        self.why_unknown, self._has_told = "", False
        if counter is not None:
            self._letters = await self._counted(counter)
            self._letters_at = self._clock.monotonic()

    async def _counted(self, counter: LetterCounter) -> LettersOfStages:
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                found = await counter.count({topic for _, topic in self._dead_letter_topics()})
        except (StreamappError, TimeoutError) as error:
            log.warning("dead letters cannot be counted: %s", str(error) or "no answer in time")
            return {}
        return {
            stage: found[topic] for stage, topic in self._dead_letter_topics() if topic in found
        }

    def _dead_letter_topics(self) -> Iterator[tuple[StageName, str]]:
        for segment in self._segments:
            for step in segment.steps:
                yield (segment.pipeline, step.stage.stage_id), step.dead_letters

    def _fail(self, error: Exception) -> None:
        told = str(error) or "Kafka does not answer in time"
        if not self._has_told:
            log.warning("lag, members and dead letters are not known: %s", told)
        self._has_told = True
        self._snapshot, self._letters, self.why_unknown = None, {}, told

    def _is_older(self, at: float, seconds: float) -> bool:
        return self._clock.monotonic() - at > seconds
