"""Keeps the marks in the own groups of the stages of a bundle: Kafka forgets them after a week."""

import logging
from collections.abc import Iterable

from streamapp.brokers.protocols import Admin
from streamapp.clock import Clock
from streamapp.errors import BrokerError, CommitRefusedError
from streamapp.pipeline.topology import Segment
from streamapp.renames.asked_once import Offsets, own_of
from streamapp.renames.moves import store_marks

log = logging.getLogger(__name__)

RENEW_SECONDS = 6 * 3600.0
"""Time between two times at which all are stored; offsets of a group without members are kept for
`offsets.retention.minutes`, a week by default."""

MISSING_SECONDS = 60.0
"""Time between two looks for stages that have committed for the first time: without a mark, their
position would be found by nobody if they moved after a kill."""


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
        self._told: set[str] = set()

    async def run(self) -> None:
        """Store them now and then, until cancelled."""
        while self._all:
            self._missing = list(self._all)
            renew_at = self._clock.monotonic() + RENEW_SECONDS
            while (left := renew_at - self._clock.monotonic()) > 0:
                await self.store_missing()
                await self._clock.sleep(min(left, MISSING_SECONDS) if self._missing else left)

    async def store_missing(self) -> None:
        """Store those of stages that had committed nothing before; a failure is only logged."""
        try:
            groups = dict.fromkeys(segment.group for segment in self._missing)
            offsets = {group: await self._admin.committed_offsets(group) for group in groups}
            for segment in list(self._missing):
                own = own_of(segment, offsets[segment.group])
                if own and await self._stored(segment, own):
                    self._missing.remove(segment)
        except BrokerError as error:
            log.warning("where stages of a bundle stand could not be marked: %s", error)

    async def _stored(self, segment: Segment, own: Offsets) -> bool:
        """Store that of a stage; not if workers read with its own group, which hinders no other."""
        try:
            await store_marks(self._admin, segment, own)
        except CommitRefusedError as error:
            if segment.full_name not in self._told:
                log.warning("where %s stands could not be marked: %s", segment.full_name, error)
            self._told.add(segment.full_name)
            return False
        self._told.discard(segment.full_name)
        return True
