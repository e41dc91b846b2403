"""Lost positions: what happens to a partition whose next offset is not in its log.

There are two causes. Retention has deleted records that were not read: then the position is before
the beginning of the log. Or the topic was made anew or its log was truncated: then the position is
beyond the end, and what the log holds may be new, or may all have been worked on. Kafka does not
say which. So a stage that may skip nothing (`earliest`) ends there, as with `stop`: to read from
the beginning would work on finished records again, and to read from the end would skip new ones.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from streamapp.clock import Clock
from streamapp.errors import OffsetOutOfRangeError, StreamappError
from streamapp.observability.occurrences import OccurrenceKind
from streamapp.pipeline.stage import LostPosition
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.partition import Partition

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""Wait after a question for offsets that failed."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A lost position.

    Attributes:
        name: the partition.
        offset: the offset that should have been read next.
        start: first offset of the log.
        end: offset behind the last record of the log.
    """

    name: TopicPartition
    offset: int
    start: int
    end: int

    @property
    def is_beyond_end(self) -> bool:
        """Whether it was beyond the end, although the log may have grown past it meanwhile.

        It was not in the log, and the beginning of a log only rises: had it been before the
        beginning, it would still be.
        """
        return self.offset >= self.start

    def in_words(self) -> str:
        """What has happened, as the beginning of a sentence."""
        place = f"offset {self.offset} of {self.name.topic}[{self.name.partition}]"
        if self.is_beyond_end:
            return (
                f"{place} is beyond the end of the log, which holds {self.start} to {self.end}:"
                " the topic was made anew, or the log was truncated"
            )
        return (
            f"{place} is no longer in the log, which begins at {self.start}: retention has deleted"
            f" {self.start - self.offset} offsets that were not read"
        )


class LostPositions:
    """Does what `on_lost_position` says about positions that are not in the log.

    Args:
        assignment: the assigned partitions and their consumer.
        policy: what is declared.
        clock: waits after errors.
    """

    def __init__(self, assignment: Assignment, policy: LostPosition, clock: Clock) -> None:
        self._assignment = assignment
        self._metrics = assignment.metrics
        self._policy = policy
        self._clock = clock
        self._ask_at = 0.0
        self._unsettled: dict[Partition, int] = {}

    def is_unsettled(self, partition: Partition) -> bool:
        """Whether its position was lost and nothing is decided yet: it must not be read.

        A log that has grown past the position meanwhile would be read on from there, as if nothing
        had happened.
        """
        return partition in self._unsettled

    def lost(self, error: OffsetOutOfRangeError, asked: Mapping[TopicPartition, Partition]) -> None:
        """Note lost positions, for `settle` to decide about.

        Args:
            error: names the positions.
            asked: the partitions before the fetch that raised it.
        """
        for name, offset in error.offsets.items():
            partition = self._assignment.partitions.get(name)
            if partition is not None and partition is asked.get(name):
                self._unsettled[partition] = offset

    async def settle(self) -> None:
        """Read on elsewhere, or read the partition no more, so that the stage ends."""
        if not self._unsettled or self._clock.monotonic() < self._ask_at:
            return
        names = [partition.name for partition in self._unsettled]
        consumer = self._assignment.consumer
        try:
            starts = await consumer.beginning_offsets(names)
            ends = await consumer.end_offsets(names)
        except (StreamappError, TimeoutError) as failed:
            log.warning(
                "the offsets of a lost position could not be read, trying again: %r", failed
            )
            self._ask_at = self._clock.monotonic() + RETRY_SECONDS
            return
        lost, self._unsettled = self._unsettled, {}
        for partition, offset in lost.items():
            name = partition.name
            # A partition that was closed meanwhile opens at its committed offset or frontier.
            if self._assignment.partitions.get(name) is partition:
                self._follow(partition, Lost(name, offset, starts[name], ends[name]))

    def _follow(self, partition: Partition, lost: Lost) -> None:
        match self._policy:
            case LostPosition.LATEST:
                self._read_on(lost, lost.end, "its end")
            case LostPosition.EARLIEST if not lost.is_beyond_end:
                self._read_on(lost, lost.start, "its beginning")
            case _:
                partition.dead_end = self._error(lost)
                log.error(  # what to do about it is told when that is safe, at the end
                    "stage %s of %s: %s; the stage ends when %d records in flight before it are"
                    " finished",
                    self._metrics.stage,
                    self._metrics.pipeline,
                    lost.in_words(),
                    partition.in_flight_records,
                )

    def _read_on(self, lost: Lost, offset: int, place: str) -> None:
        """Read on at another offset.

        With a position beyond the end, all records of the log may be new ones, so all are counted.
        """
        passed_over = offset - (lost.start if lost.is_beyond_end else lost.offset)
        self._assignment.restart_at(lost.name, offset)
        self._metrics.position_resets += 1
        self._metrics.passed_over_offsets += passed_over
        told = f"{lost.in_words()}; reading continues at {place}, {offset}"
        now = self._clock.monotonic()
        self._metrics.occurrences.add(now, OccurrenceKind.POSITION_LOST, told)
        log.error(
            "stage %s of %s: %s; reading continues at %s, %d, as on_lost_position says, and %s%d"
            " offsets are skipped",
            self._metrics.stage,
            self._metrics.pipeline,
            lost.in_words(),
            place,
            offset,
            "up to " if lost.is_beyond_end else "",
            passed_over,
        )

    def _error(self, lost: Lost) -> OffsetOutOfRangeError:
        metrics = self._metrics
        if lost.is_beyond_end:
            advice = "to earliest if the topic is new, to latest if the log was truncated"
        else:
            advice = "to earliest, or declare on_lost_position"
        return OffsetOutOfRangeError(
            f"stage {metrics.stage!r} of pipeline {metrics.pipeline!r} ended: {lost.in_words()};"
            " stop all workers of its group and set its offset with kafka-consumer-groups:"
            f" {advice}",
            offsets={lost.name: lost.offset},
        )
