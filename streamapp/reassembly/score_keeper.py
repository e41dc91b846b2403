"""Keeps the scores of agents at work up to date, and in their file."""

import asyncio
import logging

from streamapp.clock import Clock
from streamapp.reassembly.score_feed import ScoreFeed
from streamapp.registry.score_file import ScoreFile
from streamapp.registry.scores import Scores

log = logging.getLogger(__name__)

SAVE_SECONDS = 5.0
"""Longest wait for the last write when a worker ends."""


class ScoreKeeper:
    """Measures agents, and writes what was measured.

    Args:
        scores: told of what is measured.
        file: where they outlast this process; `None`: nowhere.
        clock: the time.
        save_seconds: least time between two writes.

    Attributes:
        feed: measures the agents.
    """

    def __init__(
        self, scores: Scores, file: ScoreFile | None, clock: Clock, save_seconds: float
    ) -> None:
        self.feed = ScoreFeed(scores)
        self._scores = scores
        self._file = file
        self._clock = clock
        self._save_seconds = save_seconds
        self._saved_at = clock.monotonic()
        self._saving: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Measure, and write if it is time."""
        now = self._clock.monotonic()
        self.feed.look(now)
        if now - self._saved_at >= self._save_seconds:
            self._saved_at = now
            # Who is cancelled here would not know whether the calls are in the file.
            self._saving = asyncio.create_task(self._save())
            await asyncio.shield(self._saving)

    async def end(self) -> None:
        """Measure and write for the last time, because the worker ends."""
        self.feed.look(self._clock.monotonic())
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                if self._saving is not None:
                    await self._saving
                await self._save()
        except TimeoutError:
            log.warning("the scores of agents were not saved within %g s", SAVE_SECONDS)

    async def _save(self) -> None:
        """Add what was measured to the file, and learn what other processes have added."""
        calls = self.feed.take()
        if self._file is None:
            return
        saved = await asyncio.to_thread(self._file.add, calls)
        if saved is None:
            self.feed.give_back(calls)
        else:
            self._scores.restore(saved)
