"""Keeps the records of retry topics from being read before they are due.

All records of a retry topic wait equally long, so they are due in the order in which they stand
there. A partition whose next record is not due is paused until it is: nothing overtakes that
record, and the consumer is polled meanwhile as always.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from streamapp.brokers.protocols import FetchedRecords
from streamapp.errors import BrokerError
from streamapp.pipeline.topology import Segment
from streamapp.record import Record, TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.config import Environment
from streamapp.runtime.partition import Partition
from streamapp.runtime.retry_records import due_at

SHORTEST_WAIT_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
_LOOKS = 100
"""A partition is paused for at least a hundredth of the delay, within these bounds.

What is not due when it is fetched is fetched again later. So records that become due one shortly
after the other are not each fetched with all that stand behind them.
"""


@dataclass(slots=True)
class _Wait:
    """A partition that waits for its next record.

    Attributes:
        partition: the partition.
        offset: offset of the record.
        until: when the partition is read again, in monotonic seconds.
        is_over: whether that time has come.
    """

    partition: Partition
    offset: int
    until: float
    is_over: bool = False


class DueTimes:
    """Says which partitions of retry topics wait, and which of the fetched records are due.

    The time at which a record is due stands in its headers, so it stays the same over restarts,
    rebalances and replays. A partition never waits longer than the delay of its topic for one
    record, whatever its headers say and however clocks differ.

    Args:
        segment: its retry topics.
        assignment: the assigned partitions, and the consumer that is paused.
        environment: the clock; and whether there are waits at all.
    """

    def __init__(self, segment: Segment, assignment: Assignment, environment: Environment) -> None:
        waits = environment.config.waits_until_due
        topics = segment.retry_topics.values() if waits else ()
        self._delays: Mapping[str, float] = {one.name: one.delay_seconds for one in topics}
        self._assignment = assignment
        self._clock = environment.clock
        self._waits: dict[TopicPartition, _Wait] = {}

    def resume_due(self) -> None:
        """Let partitions be read again whose next record is due, or that were opened anew."""
        now = self._clock.monotonic()
        for name, wait in list(self._waits.items()):
            current = self._assignment.partitions.get(name)
            is_new = current is not wait.partition
            if is_new:  # it begins before the record that was waited for
                del self._waits[name]
            if current is not None and not wait.is_over and (is_new or wait.until <= now):
                wait.is_over = True
                with suppress(BrokerError):  # given back meanwhile: its next owner has no pause
                    self._assignment.consumer.resume(name)

    def is_waiting(self, partition: Partition) -> bool:
        """Whether the next record of this partition is not due."""
        wait = self._waits.get(partition.name)
        if wait is None:
            return False
        measured = self._assignment.metrics.partitions.get(partition.name)
        # While earlier records of it are worked on, it may stand still for another reason.
        if measured is not None and (wait.is_over or partition.frontier.idle):
            measured.waits_until = wait.until
        return not wait.is_over

    def seconds_left(self, most: float) -> float:
        """Time until the next partition is to be read again, or `most` if that is less."""
        untils = [wait.until for wait in self._waits.values() if not wait.is_over]
        if not untils:
            return most
        return max(0.0, min(most, min(untils) - self._clock.monotonic()))

    def due_of(self, partition: Partition, records: FetchedRecords) -> FetchedRecords:
        """Those of the fetched records that are due; the others are fetched again later."""
        delay_seconds = self._delays.get(partition.name.topic)
        if delay_seconds is None:
            return records
        now = self._clock.time()
        for record in records:
            seconds = due_at(record, delay_seconds) - now
            if seconds > 0 and not self._has_waited_for(partition, record):
                self._wait_for(partition, record, seconds, delay_seconds)
                return records.before(record.offset)
        return records

    def _has_waited_for(self, partition: Partition, record: Record) -> bool:
        wait = self._waits.get(partition.name)
        return wait is not None and wait.is_over and wait.offset == record.offset

    def _wait_for(
        self, partition: Partition, record: Record, seconds: float, delay_seconds: float
    ) -> None:
        """Read the partition no more until this record is due."""
        pause = min(max(delay_seconds / _LOOKS, SHORTEST_WAIT_SECONDS), LONGEST_PAUSE_SECONDS)
        until = self._clock.monotonic() + max(pause, min(seconds, delay_seconds))
        self._waits[partition.name] = _Wait(partition, record.offset, until)
        consumer = self._assignment.consumer
        consumer.seek(partition.name, record.offset)
        consumer.pause(partition.name)
