"""Membership of a segment in its consumer group: handles rebalances, and joins again."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from streamapp.errors import BrokerError, TopicError
from streamapp.observability.occurrences import OccurrenceKind
from streamapp.observability.progress import ProgressWatch
from streamapp.observability.stage_metrics import Notice, StageMetrics
from streamapp.policies.backoff import Backoff
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.commit_metadata import is_ours
from streamapp.runtime.config import Environment
from streamapp.runtime.delivery import Delivery
from streamapp.runtime.in_flight import InFlight
from streamapp.runtime.intake import Halt, Intake
from streamapp.runtime.replay import Replay
from streamapp.runtime.segment_topics import SegmentTopics

log = logging.getLogger(__name__)

MOST_LISTED = 8
"""Of more partitions, only their number is told."""

MOST_TOLD = 20
"""Of more partitions, only so many are named with where they start."""

JOIN_BACKOFF = Backoff(base_seconds=0.5, max_seconds=10.0)
"""Waits between attempts to join the group again: short at first, for a broker that restarts."""


class Membership:
    """Does what a rebalance asks for, and joins the group again when membership is lost.

    Rebalances are eager: all partitions are given back, then new ones are assigned.

    Args:
        name: name of the segment.
        metrics: counters of each stage of the segment.
        environment: the clock, random numbers for backoff, and deadlines.
        assignment, intake, in_flight, delivery, replay, topics: the parts of the segment.
        progress: told of each assignment.
        marks_commits: whether all commits of the group are ours, and carry our text.

    Attributes:
        last_commit_succeeded: whether the commit of `leave` succeeded.
    """

    def __init__(  # noqa: PLR0913 - the parts of a segment
        self,
        name: str,
        metrics: Sequence[StageMetrics],
        environment: Environment,
        *,
        assignment: Assignment,
        intake: Intake,
        in_flight: InFlight,
        delivery: Delivery,
        replay: Replay,
        topics: SegmentTopics,
        progress: ProgressWatch,
        marks_commits: bool,
    ) -> None:
        self._name = name
        self._metrics = metrics
        self._assignment = assignment
        self._intake = intake
        self._in_flight = in_flight
        self._delivery = delivery
        self._replay = replay
        self._topics = topics
        self._progress = progress
        self._env = environment
        self._marks_commits = marks_commits
        self._lost = asyncio.Event()
        self._why_lost = ""
        self.last_commit_succeeded = True

    async def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Open newly assigned partitions."""
        await self._topics.assigned()
        for metrics in self._metrics:
            metrics.rebalances += 1
            metrics.is_connected(self._env.clock.monotonic())
        self._progress.assigned(partitions)
        self._assignment.open(partitions, self._intake.take_refetch_offsets(partitions))
        if self._replay.needed.is_set():
            self._assignment.suspend()  # there is no producer now; the replay will open them
        self._intake.lift(Halt.REBALANCE)
        self._note(OccurrenceKind.ASSIGNED, f"was assigned {_shortened(partitions)}")
        log.info("%s: assigned %s", self._name, _listed(partitions))
        self._tell_starts(partitions)

    def _tell_starts(self, partitions: frozenset[TopicPartition]) -> None:
        """Log where reading starts, and tell if somebody else has moved it."""
        consumer = self._assignment.consumer
        starts = {name: consumer.committed(name) for name in sorted(partitions)}
        some = [
            f"{_listed([name])} at {'its beginning' if start is None else start.offset}"
            for name, start in islice(starts.items(), MOST_TOLD)
        ]
        more = f" and {len(starts) - MOST_TOLD} more" if len(starts) > MOST_TOLD else ""
        log.info("%s: starts %s%s", self._name, ", ".join(some) or "nowhere", more)
        moved = [
            f"{_listed([name])} at {start.offset}"
            for name, start in starts.items()
            if start is not None and not is_ours(start.metadata, start.offset)
        ]
        if moved and self._marks_commits:
            told = f"no worker has committed where it starts: {', '.join(moved[:MOST_TOLD])}"
            log.warning("%s: %s; somebody else has moved these positions", self._name, told)
            self._metrics[0].positions_moved = Notice(told, self._env.clock.monotonic())

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Finish what is in flight within the deadline, commit, and give all partitions back."""
        self._halt_intake()
        try:
            if self._assignment.partitions:
                seconds = self._env.config.revoke_drain_seconds
                drained = await self._in_flight.drain(seconds, self._replay.needed)
                self._delivery.keep_acknowledged()
                await self._delivery.commit()
                how = "" if drained else ", with records in flight that will be read again"
                self._note(OccurrenceKind.REVOKED, f"gave back {_shortened(partitions)}{how}")
                log.info("%s: gave back %s%s", self._name, _listed(partitions), how)
        finally:
            self._close_partitions()
        # If a record comes back to this worker, its old attempt must have ended. A stuck attempt is
        # not waited for.
        await self._in_flight.wait_for_cancelled_attempts(self._env.config.stop_timeout_seconds)
        await self._topics.renew()

    async def leave(self) -> bool:
        """Finish what is in flight, commit, and close all partitions, because the segment ends.

        Returns:
            Whether everything in flight was finished within the deadline.
        """
        self._intake.halt(Halt.ENDING)
        seconds = self._env.config.shutdown_drain_seconds
        drained = await self._in_flight.drain(seconds, self._replay.needed)
        self._delivery.keep_acknowledged()
        self.last_commit_succeeded = await self._delivery.commit()
        self._close_partitions()
        return drained

    def rejoin(self, why: str) -> None:
        """Join the group again, because this member can no longer read or commit.

        Args:
            why: what has been seen.
        """
        self._why_lost = why
        self._lost.set()

    def _note(self, kind: OccurrenceKind, told: str) -> None:
        self._metrics[0].occurrences.add(self._env.clock.monotonic(), kind, told)

    async def run(self) -> None:
        """Join the group again whenever membership is lost, until cancelled."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            if not self._intake.is_halted_for(Halt.ENDING):
                await self._join_again()

    async def _join_again(self) -> None:
        """Give up all partitions, whose work cannot be committed, and restart the consumer."""
        head = self._metrics[0]
        log.warning(
            "%s: %s; this worker gives its partitions up and joins the group again; records that"
            " are not committed will be read again",
            self._name,
            self._why_lost,
        )
        head.assignments_given_up += 1
        self._note(OccurrenceKind.GIVEN_UP, f"gave its partitions up: {self._why_lost}")
        self._halt_intake()
        self._intake.detach()
        self._close_partitions()
        await self._in_flight.wait_for_cancelled_attempts(self._env.config.stop_timeout_seconds)
        await self._assignment.consumer.stop()
        self._intake.forget_refetch_offsets()  # a fetch was still running and has added some
        attempt = 0
        while True:
            await self._topics.renew()
            try:
                await self._assignment.consumer.start()
            except (BrokerError, TopicError) as error:
                attempt += 1
                log.warning("%s: the group cannot be joined yet: %s", self._name, error)
                await self._env.clock.sleep(JOIN_BACKOFF.delay_seconds(attempt, self._env.rng))
            else:
                self._intake.attach()
                return

    def _halt_intake(self) -> None:
        self._intake.halt(Halt.REBALANCE)
        self._assignment.is_revoked = True
        for metrics in self._metrics:
            if metrics.cut_off_since is None:
                metrics.cut_off_since = self._env.clock.monotonic()

    def _close_partitions(self) -> None:
        self._assignment.close()
        self._intake.forget_refetch_offsets()
        self._in_flight.forget()
        self._delivery.keep_acknowledged()  # nothing of closed partitions, but it is forgotten


def _shortened(partitions: Collection[TopicPartition]) -> str:
    """A few partitions by name, many by their number."""
    few = len(partitions) <= MOST_LISTED
    return _listed(partitions) if few else f"{len(partitions)} partitions"


def _listed(partitions: Iterable[TopicPartition]) -> str:
    """Partitions on one line, such as `playback.raw[0,1,2]`."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(partitions):
        by_topic.setdefault(topic, []).append(partition)
    listed = [f"{topic}[{','.join(map(str, own))}]" for topic, own in by_topic.items()]
    return " ".join(listed) or "no partitions"
