"""Measures the lag of a segment: how far its frontiers are behind the end offsets."""

import asyncio
import logging
from collections.abc import Callable

from streamapp.clock import Clock
from streamapp.errors import BrokerError, TopicError
from streamapp.observability.stage_metrics import PartitionMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.partition import Partition, Phase

log = logging.getLogger(__name__)

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
            self._update(partition, measured_partition, None if is_cut else max(0, end - position))
        if not self._assignment.is_revoked:  # else it stays cut off until its next assignment
            self._metrics.cut_off_since = None
        self._on_measured()

    def _position(self, name: TopicPartition) -> int | None:
        partition = self._partitions.get(name)
        return None if partition is None else partition.frontier.offset

    def _is_read(self, name: TopicPartition) -> bool:
        partition = self._partitions.get(name)
        return partition is not None and partition.phase is Phase.OPEN

    def _update(self, partition: Partition, measured: PartitionMetrics, lag: int | None) -> None:
        measured.lag_records = lag
        if not lag:
            measured.oldest_timestamp_seconds = None
            return
        oldest_ms = partition.oldest_timestamp_ms()
        if oldest_ms is not None and oldest_ms >= 0:  # -1 is a record without a timestamp
            measured.oldest_timestamp_seconds = oldest_ms / 1000
        elif measured.oldest_timestamp_seconds is None:
            # No record was read yet: the age of the oldest one is counted from this measurement.
            measured.oldest_timestamp_seconds = self._clock.time()
