"""Notices agents that block the event loop for longer than their group waits for a heartbeat.

While the event loop is blocked, no heartbeat is sent. After the session timeout the group gives the
partitions to others and refuses the commit of the work that was done. So the record is begun again,
by the next owner, who is blocked as long as this one. Nobody would ever finish it.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from streamapp.clock import Clock
from streamapp.errors import StageStoppedError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.lanes import Lanes
from streamapp.runtime.partition import Partition

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
"""Time between two looks at the clock; the event loop was blocked for what one comes too late."""

MOST_TIMES = 3
"""How often a record may block this worker past its session.

Once may be chance, such as a frozen machine, and the record may be finished by another worker. The
third time, in a third assignment, it would go on for ever.
"""

FORGET_SECONDS = 600.0
"""How long a record is remembered, while others may have its partition."""


@dataclass(slots=True)
class Blocked:
    """A record during which the event loop was blocked.

    Attributes:
        partition: the assignment in which it was so last; each counts once.
        times: in how many assignments it was so.
        seconds: how long it took the last time.
        noticed_at: when that was, in monotonic seconds.
    """

    partition: Partition
    times: int
    seconds: float
    noticed_at: float


class BlockedLoop:
    """Tells of records that block the event loop past the session, and ends the stage in time.

    Args:
        agents: names of the agents that run on the event loop.
        session_seconds: the group evicts a member without heartbeats after so long.
        assignment: the assigned partitions.
        lanes: know which records were worked on.
        clock: measures.
        on_stop: called when a record has done so too often.
    """

    def __init__(
        self,
        agents: Sequence[str],
        session_seconds: float,
        *,
        assignment: Assignment,
        lanes: Lanes,
        clock: Clock,
        on_stop: Callable[[StageStoppedError], None],
    ) -> None:
        self._agents = " or ".join(repr(name) for name in dict.fromkeys(agents))
        self._session_seconds = session_seconds
        self._assignment = assignment
        self._metrics: StageMetrics = assignment.metrics
        self._lanes = lanes
        self._clock = clock
        self._on_stop = on_stop
        self._blocked: dict[tuple[TopicPartition, int], Blocked] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        # A heartbeat is sent five times in a session. The last one may have been sent that much
        # before the event loop was blocked.
        most_seconds = self._session_seconds * 4 / 5
        while True:
            began = self._clock.monotonic()
            await self._clock.sleep(CHECK_SECONDS)
            blocked_seconds = self._clock.monotonic() - began - CHECK_SECONDS
            worked_on = self._lanes.take_long_worked_on(most_seconds)
            if blocked_seconds >= most_seconds:
                self._note(worked_on, blocked_seconds)
            if self._blocked:
                self._forget_finished()
                self._metrics.blocked_by = self._reason()

    def _note(self, worked_on: Collection[tuple[Partition, int]], seconds: float) -> None:
        now = self._clock.monotonic()
        # If a record is named twice, the later assignment counts.
        places = {(partition.name, offset): partition for partition, offset in worked_on}
        for place, partition in places.items():
            known = self._blocked.get(place)
            if known is None:
                known = self._blocked[place] = Blocked(partition, 1, seconds, now)
            elif known.partition is not partition:
                known.times += 1
            known.partition, known.seconds, known.noticed_at = partition, seconds, now
        if not places:
            return
        worst = max(places, key=lambda place: self._blocked[place].times)
        told, metrics = self._told(*worst, others=len(places) - 1), self._metrics
        log.error("stage %s of %s: %s", metrics.stage, metrics.pipeline, told)
        if self._blocked[worst].times >= MOST_TIMES:
            self._on_stop(
                StageStoppedError(
                    f"stage {metrics.stage!r} of pipeline {metrics.pipeline!r} stopped, because it"
                    f" would begin one record again for ever: {told}",
                    stage_id=metrics.stage,
                    partition=worst[0],
                    offset=worst[1],
                )
            )

    def _told(self, name: TopicPartition, offset: int, others: int) -> str:
        """What has happened, and what to do about it."""
        blocked = self._blocked[name, offset]
        times = "" if blocked.times == 1 else f", for the {_ordinal(blocked.times)} time"
        beside = f" and {others} other records" if others else ""
        return (
            f"the event loop was blocked for at least {blocked.seconds:.0f} s{times}, while the"
            f" agent {self._agents} worked on {name.topic}[{name.partition}] at offset {offset}"
            f"{beside}; the session of the group is {self._session_seconds:g} s, so it may have"
            " given the partition away, and then this work is repeated: declare the agent as"
            " @agent(blocking=True), or give the group a longer session"
        )

    def _forget_finished(self) -> None:
        """Forget records that a commit says are finished, or that others have taken over."""
        now = self._clock.monotonic()
        for (name, offset), blocked in list(self._blocked.items()):
            partition = self._assignment.partitions.get(name)
            committed = None if partition is None else partition.committed
            is_finished = committed is not None and committed.offset > offset
            if is_finished or now - blocked.noticed_at > FORGET_SECONDS:
                del self._blocked[name, offset]

    def _reason(self) -> str | None:
        """Why the stage is unhealthy; `None` if no such record is assigned to it now."""
        for (name, offset), blocked in self._blocked.items():
            if name in self._assignment.partitions:
                return (
                    f"the agent {self._agents} has blocked the event loop for at least"
                    f" {blocked.seconds:.0f} s with {name.topic}[{name.partition}] at offset"
                    f" {offset}, which is not committed: declare blocking=True"
                )
        return None


def _ordinal(times: int) -> str:
    return {2: "second", 3: "third"}.get(times, f"{times}th")
