"""Measures the lag of a segment: how far its frontiers are behind the end offsets."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from streamapp.clock import Clock
from streamapp.errors import BrokerError, TopicError
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.stage_metrics import ClockSkew
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.end_history import EndHistory
from streamapp.runtime.partition import Partition, Phase

log = logging.getLogger(__name__)

MOST_AHEAD_SECONDS = 60.0
MOST_BEHIND_SECONDS = 86_400.0
"""Timestamps may be so far off; events may reach their producers late, but never before they are.
"""

WAITS_SECONDS = 60.0
"""A record that waits for so long may be deleted first; one that is just read is not."""

MEASURE_TIMEOUT_SECONDS = 5.0
"""Without an answer for so long, the lag is unknown, and the segment counts as cut off."""


class LagWatch:
    """Measures the lag of the open partitions at regular intervals, and sets it in the metrics.

    Args:
        assignment: the open partitions and their consumer.
        clock: waits between measurements.
        on_measured: called after each measurement, also after one without an answer.
        interval_seconds: time between two measurements.
    """

    def __init__(
        self,
        assignment: Assignment,
        clock: Clock,
        *,
        on_measured: Callable[[], None],
        interval_seconds: float = 1.0,
    ) -> None:
        self._assignment = assignment
        self._consumer = assignment.consumer
        self._partitions = assignment.partitions
        self._metrics = assignment.metrics
        self._clock = clock
        self._on_measured = on_measured
        self._interval_seconds = interval_seconds
        self._histories: dict[TopicPartition, EndHistory] = {}

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await self.measure()
            await self._clock.sleep(self._interval_seconds)

    async def measure(self) -> None:
        """Measure once. If Kafka does not answer, the lag is set to unknown, not left as it was.

        It is unknown as well while a partition ends before its frontier: the log was cut off, or
        the topic was made anew.
        """
        names = list(self._partitions)
        if not names:
            return
        frontiers = {name: self._position(name) for name in names}
        try:
            async with asyncio.timeout(MEASURE_TIMEOUT_SECONDS):
                ends = await self._consumer.end_offsets(names)
                # Without a frontier yet, the lag is counted from the consumer's position.
                starts = {
                    name: await self._consumer.position(name)
                    for name in names
                    if self._position(name) is None and self._is_read(name)
                }
        except (BrokerError, TopicError, TimeoutError) as error:
            log.debug("lag could not be measured: %s", error)
            for measured in self._metrics.partitions.values():
                measured.lag_records = None
            if self._metrics.cut_off_since is None:
                self._metrics.cut_off_since = self._clock.monotonic()
            self._on_measured()
            return
        self._note_ends(ends)
        for name, end in ends.items():
            partition = self._partitions.get(name)
            measured_partition = self._metrics.partitions.get(name)
            position = self._position(name)
            if position is None:
                position = starts.get(name)
            if partition is None or measured_partition is None or position is None:
                continue  # it was given back during the measurement
            # The frontier may have passed this end since: only the one before the question tells.
            is_cut = end < (frontiers[name] or 0)
            lag = None if is_cut else max(0, end - position)
            self._note_skew(partition)
            self._update(partition, measured_partition, lag, position)
        if not self._assignment.is_revoked:  # else it stays cut off until its next assignment
            self._metrics.is_connected(self._clock.monotonic())
        self._on_measured()

    def _note_ends(self, ends: Mapping[TopicPartition, int]) -> None:
        now = self._clock.monotonic()
        for name in self._histories.keys() - self._partitions.keys():
            del self._histories[name]
        for name, end in ends.items():
            if name in self._partitions:
                self._histories.setdefault(name, EndHistory()).note(now, end)

    def _position(self, name: TopicPartition) -> int | None:
        partition = self._partitions.get(name)
        return None if partition is None else partition.frontier.offset

    def _is_read(self, name: TopicPartition) -> bool:
        partition = self._partitions.get(name)
        return partition is not None and partition.phase is Phase.OPEN

    def _update(
        self, partition: Partition, measured: PartitionMetrics, lag: int | None, position: int
    ) -> None:
        measured.lag_records = lag
        if not lag:
            measured.oldest_timestamp_seconds = measured.retention_left_seconds = None
            return
        self._update_oldest(partition, measured, position)
        kept = self._metrics.retention_seconds.get(partition.name.topic)
        since = measured.oldest_timestamp_seconds
        if kept is not None and since is not None:
            age = self._clock.time() - self._dated_at(partition, since)
            measured.retention_left_seconds = max(0.0, kept - age)

    def _dated_at(self, partition: Partition, came_at: float) -> float:
        """From when retention counts for the first unfinished record, since the epoch.

        Kafka counts from timestamps, and deletes a segment with its newest one, so this may be too
        early. What is worked on soon is not counted as old, whatever its producer has dated it.
        """
        oldest_ms = partition.oldest_timestamp_ms()
        waits = self._clock.time() - came_at >= WAITS_SECONDS
        if waits and oldest_ms is not None and oldest_ms >= 0:
            return min(came_at, oldest_ms / 1000)
        return came_at

    def _update_oldest(
        self, partition: Partition, measured: PartitionMetrics, position: int
    ) -> None:
        now, wall, history = self._clock.monotonic(), self._clock.time(), self._histories
        came_at = history[partition.name].arrival(position) if partition.name in history else None
        if came_at is not None:
            measured.oldest_timestamp_seconds = wall - (now - came_at)
            return
        # It was there before this worker has looked at the log: only its timestamp tells.
        oldest_ms = partition.oldest_timestamp_ms()
        if oldest_ms is not None and oldest_ms >= 0:  # -1 is a record without a timestamp
            measured.oldest_timestamp_seconds = min(oldest_ms / 1000, wall)
        elif measured.oldest_timestamp_seconds is None:
            # No record was read yet: the age of the oldest one is counted from this measurement.
            measured.oldest_timestamp_seconds = wall

    def _note_skew(self, partition: Partition) -> None:
        """Note how far the timestamp of a record is from when it came, or ahead of now."""
        newest, history = partition.newest, self._histories.get(partition.name)
        if newest is None or history is None or not history.reaches(newest[0]):
            return  # the record is seen at the next measurement
        partition.newest = None
        offset, stamp_ms = newest
        came_at = history.arrival(offset)
        now, wall = self._clock.monotonic(), self._clock.time()
        ahead = stamp_ms / 1000 - (wall if came_at is None else wall - (now - came_at))
        is_behind = came_at is not None and -ahead > MOST_BEHIND_SECONDS
        if stamp_ms >= 0 and (ahead > MOST_AHEAD_SECONDS or is_behind):
            name = f"{partition.name.topic}[{partition.name.partition}]"
            self._metrics.clock_skew = ClockSkew(name, ahead, now)
