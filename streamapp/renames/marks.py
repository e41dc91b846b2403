"""Keeps the marks in the own groups of the stages of a bundle: Kafka forgets them after a week."""

import logging
from collections.abc import Iterable

from streamapp.brokers.protocols import Admin
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.pipeline.topology import Segment
from streamapp.renames.asked_once import own_of
from streamapp.renames.moves import store_marks

log = logging.getLogger(__name__)

RENEW_SECONDS = 6 * 3600.0
"""Time between two times at which all are stored; offsets of a group without members are kept for
`offsets.retention.minutes`, a week by default."""


class Marks:
    """Says in the own group of each stage of a bundle that the bundle has its position.

    Args:
        admin: stores them.
        segments: the stages; those that are in no bundle need none.
        clock: waits.
    """

    def __init__(self, admin: Admin, segments: Iterable[Segment], clock: Clock) -> None:
        self._admin = admin
        self._clock = clock
        self._all = [segment for segment in segments if segment.bundle is not None]
        self._missing = list(self._all)

    async def run(self) -> None:
        """Store them now and then, until cancelled."""
        while self._all:
            self._missing = list(self._all)
            await self.store_missing()
            await self._clock.sleep(RENEW_SECONDS)

    async def store_missing(self) -> None:
        """Store those of stages that had committed nothing before; a failure is only logged."""
        left = []
        try:
            groups = dict.fromkeys(segment.group for segment in self._missing)
            offsets = {group: await self._admin.committed_offsets(group) for group in groups}
            for segment in self._missing:
                if own := own_of(segment, offsets[segment.group]):
                    await store_marks(self._admin, segment, own)
                else:
                    left.append(segment)
        except BrokerError as error:
            log.warning("where stages of a bundle stand could not be marked: %s", error)
            return
        self._missing = left
