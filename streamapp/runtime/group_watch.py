"""Looks at the groups of a worker's segments: members that are no workers take records away.

Whoever joins a group of a stage gets some of its partitions. What it reads is lost to the stage,
and nothing fails: the lag is not even seen, since its partitions are not ours.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from streamapp.brokers.protocols import CLIENT_ID, Admin, GroupMember
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.observability.stage_metrics import Notice
from streamapp.runtime.running_segment import RunningSegment

log = logging.getLogger(__name__)

LEAST_PAUSE_SECONDS = 0.5
"""Least time between two requests; of very many groups each is looked at less often."""

ANSWER_SECONDS = 5.0


class GroupWatch:
    """Tells segments at regular intervals how many members their group has, and which are foreign.

    Args:
        admin: asks the broker.
        runners: the segments.
        clock: waits between two looks.
        interval_seconds: time between two looks at a group.
    """

    def __init__(
        self,
        admin: Admin,
        runners: Sequence[RunningSegment],
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
            groups = self._groups()
            pause = max(self._interval_seconds / max(1, len(groups)), LEAST_PAUSE_SECONDS)
            for group, runners in groups.items():
                await self._clock.sleep(pause)
                await self._look(group, runners)
            if not groups:
                await self._clock.sleep(pause)

    def _groups(self) -> Mapping[str, list[RunningSegment]]:
        """The segments by their group; those that another client reads for have its members."""
        found: dict[str, list[RunningSegment]] = {}
        for runner in self._runners:
            if runner.segment.reader is None and not runner.ends:
                found.setdefault(runner.segment.group, []).append(runner)
        return found

    async def _look(self, group: str, runners: Sequence[RunningSegment]) -> None:
        """Look once. Without an answer, everything stays as it was known."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                members = await self._admin.members(group)
        except (BrokerError, TimeoutError) as error:
            log.debug("group %s could not be looked at: %r", group, error)
            return
        for runner in self._runners:
            if runner.segment.group == group:
                for metrics in runner.metrics:
                    metrics.group_members = len(members)
        told = foreign_members(group, members)
        for runner in runners:
            metrics = runner.metrics[0]
            known = metrics.foreign_members
            if told is None:
                metrics.foreign_members = None
            elif known is None or known.told != told:
                if known is None:
                    log.warning("%s: %s", runner.segment.full_name, told)
                since = self._clock.monotonic() if known is None else known.at
                metrics.foreign_members = Notice(told, since)


def foreign_members(group: str, members: Sequence[GroupMember]) -> str | None:
    """Which members are no workers and what they have, in one clause; `None` if all are."""
    foreign = [one for one in members if one.client_id != CLIENT_ID]
    if not foreign:
        return None
    known = [one.partitions for one in members if one.partitions is not None]
    taken = [one.partitions for one in foreign if one.partitions is not None]
    who = ", ".join(sorted({f"client {one.client_id!r} at {one.host}" for one in foreign})[:3])
    have = f"{sum(map(len, taken))} of {sum(map(len, known))} partitions"
    return (
        f"{len(foreign)} of {len(members)} members of group {group} are no workers: {who}; {have}"
    )
