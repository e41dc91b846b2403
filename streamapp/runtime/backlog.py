"""Failing records, and all that wait behind them: they give way before they keep others waiting."""

import logging
from collections.abc import Callable, Collection

from streamapp.pipeline.stage import KeyBacklog, Ordering, StageConfig
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.lanes import Lanes
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.work import Work

log = logging.getLogger(__name__)

LEFT_TO_FAILING_RECORDS = 4
"""One part in so many of what may be in flight is left to failing records and their backlogs.

The intake reads while half is free. So at least another quarter is there for all other records.
"""


class Backlog:
    """The failing records of a segment, of all keys, and those that wait behind them.

    The intake asks it to make room when it can read no more. Then failing records have one last
    attempt each, as few of them as possible; `on_key_backlog` says what happens if it fails too.
    With order by partition, what waits behind a failing record is put back first, and is read again
    when that record is done.

    Args:
        assignment: the open partitions, and the consumer that reads again what was put back.
        config: bounds of the stage, and what gives way.
        ready: records that are ready, and which of them hold keys.
        retries: records that wait for their next attempt.
        lanes: run attempts.
    """

    def __init__(
        self,
        assignment: Assignment,
        config: StageConfig,
        *,
        ready: ReadyQueue,
        retries: RetryQueue,
        lanes: Lanes,
    ) -> None:
        self._assignment = assignment
        self._ready = ready
        self._retries = retries
        self._lanes = lanes
        self._by_partition = config.ordering is Ordering.PARTITION
        self._others_wait = config.on_key_backlog is KeyBacklog.WAIT
        self._max_records = max(1, config.max_in_flight_records // LEFT_TO_FAILING_RECORDS)
        self._max_bytes = config.max_in_flight_bytes // LEFT_TO_FAILING_RECORDS
        self._put_back_for: dict[Partition, Work] = {}
        self._is_told = False

    def holds(self, partition: Partition) -> bool:
        """Whether records of this partition were put back for one that still fails."""
        work = self._put_back_for.get(partition)
        if work is None:
            return False
        if work.holds_key and work.is_failing:
            return True
        del self._put_back_for[partition]
        return False

    @property
    def waiting_records(self) -> int:
        """Records of which nothing is sent for now: those that wait or are held, and all behind."""
        found = (*self._retries.waiting, *self._retries.held)
        return sum(_records(work) for work in found if not work.partition.closed)

    def make_room(self, *, except_for: Callable[[Partition], bool]) -> bool:
        """Let failing records give way that take more than their part of what may be in flight.

        Args:
            except_for: says of which partitions nothing is put back now.

        Returns:
            Whether records were put back, so that others can be read now.
        """
        failing = self._failing()
        holding = [w for w in failing if self._by_partition and not except_for(w.partition)]
        put_back = [self._put_back(work) for work in holding]
        if not self._others_wait:
            chosen = _beyond(self._max_records, failing, _records)
            chosen |= _beyond(self._max_bytes, [w for w in failing if w not in chosen], _bytes)
            self._end_waits(chosen)
        return any(put_back)

    def advance(self, blocked: Collection[Partition]) -> None:
        """Let failing records give way that keep these partitions from being read.

        Each is the first unfinished one, and no more offsets behind it can be remembered.
        """
        if blocked and not self._others_wait:
            failing = [work for work in self._failing() if work.partition in blocked]
            self._end_waits([w for w in failing if w.record.offset == w.partition.frontier.offset])

    def _failing(self) -> list[Work]:
        """Failing records that may have more than one attempt left."""
        found = (*self._retries.waiting, *self._ready.first, *self._lanes.at_work())
        return [
            work
            for work in found
            if work.is_failing and not work.on_last_attempt and not work.partition.closed
        ]

    def _end_waits(self, works: Collection[Work]) -> None:
        if not works:
            return
        for work in works:
            work.on_last_attempt = True
        self._retries.retry_now(works)
        if not self._is_told:
            self._is_told = True
            metrics = self._assignment.metrics
            log.warning(
                "stage %s of %s: failing records keep others from being read, so some have one"
                " last attempt now; on_key_backlog says what happens if it fails",
                metrics.stage,
                metrics.pipeline,
            )

    def _put_back(self, work: Work) -> bool:
        """Forget what waits behind a record that holds its partition; it will be read again."""
        partition, metrics = work.partition, self._assignment.metrics
        records = self._ready.take_behind(work) if work.holds_key else ()
        if not records:
            return False
        self._put_back_for = {p: w for p, w in self._put_back_for.items() if not p.closed}
        self._put_back_for[partition] = work
        value_bytes = sum(len(record.value or b"") for record in records)
        partition.put_back([record.offset for record in records], value_bytes)
        metrics.records_in -= len(records)
        metrics.bytes_in -= value_bytes
        received = metrics.received[partition.name.topic]
        received.records -= len(records)
        received.bytes -= value_bytes
        self._assignment.consumer.seek(partition.name, records[0].offset)
        return True


def _beyond(most: int, failing: Collection[Work], size: Callable[[Work], int]) -> set[Work]:
    """The fewest failing records without which the others are not larger than `most` in all.

    Of equal ones, those that have failed for longer.
    """
    sizes = sorted(((size(w), w) for w in failing), key=lambda s: (-s[0], s[1].first_failure_at))
    total, chosen = sum(s[0] for s in sizes), set[Work]()
    for own, work in sizes:
        if total <= most:
            break
        total -= own
        chosen.add(work)
    return chosen


def _records(work: Work) -> int:
    return 1 + len(work.behind or ())


def _bytes(work: Work) -> int:
    waiting = (work, *(work.behind or ()))
    return work.output_bytes + sum(len(one.record.value or b"") for one in waiting)
