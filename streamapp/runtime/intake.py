"""Intake: fetches records of the partitions that may take more, and admits them.

Hot path: `_admit` runs once for each chunk, not for each record.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum, auto

from streamapp.brokers.protocols import FetchedRecords
from streamapp.clock import Clock
from streamapp.errors import (
    BrokerError,
    ConfigurationError,
    ConsumerEndedError,
    OffsetOutOfRangeError,
    StreamappError,
    UnreadableRecordError,
)
from streamapp.observability.partition_metrics import Pause
from streamapp.pipeline.stage import StageConfig
from streamapp.record import TopicPartition, event_timestamp
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.backlog import Backlog
from streamapp.runtime.due_times import DueTimes
from streamapp.runtime.kept_bytes import KeptBytes
from streamapp.runtime.lost_positions import LostPositions
from streamapp.runtime.partition import Partition, Phase
from streamapp.runtime.ready import Chunk, ReadyQueue
from streamapp.runtime.refusals import Refusals

log = logging.getLogger(__name__)

ERROR_PAUSE_SECONDS = 1.0
"""Wait after a failed fetch, so that an outage is not met with requests without a pause."""

GAP_CHECK_SECONDS = 0.1
"""Time between two checks whether a partition with nothing in flight ends in a gap.

Finding out costs a call for each partition; ten a second keep the lag current at little cost.
"""

FRONTIER_FACTOR = 8
"""Offsets that the partitions may have in memory, for each record that may be in flight.

While an early record is unfinished, later ones are worked on, and the offsets of those that are
finished have to be remembered. A partition that remembers its share is not fetched from; the last
fetch before that may exceed the share. Eight allows a lot of work behind a slow record and costs
little: an offset takes some tens of bytes, a record often a thousand.
"""


class Halt(Enum):
    """Why the intake takes no records. Several reasons may hold at once; each is lifted alone."""

    REBALANCE = auto()  # from the revocation to the next assignment
    STOPPED = auto()  # a policy said stop, or nothing more can be read
    ENDING = auto()  # the segment is asked to end
    HELD = auto()  # what the agents depend on is down


class Intake:
    """Fetches records and adds them to the queue of ready records.

    Args:
        assignment: the assigned partitions and their consumer.
        config: bounds of the stage, and what happens when a position is lost.
        clock: waits after errors.
        ready: the queue.
        refusals: says which records need care, and whether few are taken at a time.

    Attributes:
        on_admitted: called when records were taken in.
        on_end: called while a partition has reached the end of bounded work and that is not
            committed yet.
        on_dead_end: called with the reason, perhaps more than once, when nothing more can be read
            and all records before are finished.
        on_ended: called when the client of the consumer has ended, and has to be started anew.
        output_bytes: bytes of outputs that are in flight.
        backlog: gives way when nothing more can be read; `None` means that nothing does.
        due_times: says which records of retry topics are due; `None` without retry topics.
        alone: topics whose records are worked on one by one, because they come back to a step.
        fetch_seconds: longest wait of one fetch, and between two polls.
    """

    def __init__(
        self,
        assignment: Assignment,
        config: StageConfig,
        clock: Clock,
        ready: ReadyQueue,
        refusals: Refusals,
    ) -> None:
        self._assignment = assignment
        self._refusals = refusals
        self._consumer = assignment.consumer
        self._partitions = assignment.partitions
        self._metrics = assignment.metrics
        self._max_records = config.max_in_flight_records
        self._max_bytes = config.max_in_flight_bytes
        self._lost_positions = LostPositions(assignment, config.on_lost_position, clock)
        self._clock = clock
        self._ready = ready
        self._refetch_from: dict[TopicPartition, int] = {}
        self._kept = KeptBytes()
        self._capacity = asyncio.Event()
        self._halts: set[Halt] = set()
        self._attached = asyncio.Event()
        self._attached.set()
        self._next_gap_check = 0.0
        self._polled_at = 0.0
        self.on_end: Callable[[], None] = lambda: None
        self.on_admitted: Callable[[], None] = lambda: None
        self.on_dead_end: Callable[[StreamappError], None] = lambda _error: None
        self.on_ended: Callable[[ConsumerEndedError], None] = lambda _error: None
        self.output_bytes: Callable[[], int] = lambda: 0
        self.backlog: Backlog | None = None
        self.due_times: DueTimes | None = None
        self.alone: Collection[str] = ()
        self.fetch_seconds = 0.25

    def on_capacity(self) -> None:
        """Check again what can be fetched: records have finished, or partitions have opened."""
        self._capacity.set()

    def halt(self, why: Halt) -> None:
        """Take no records until this reason is lifted; the consumer is still polled."""
        self._halts.add(why)

    def lift(self, why: Halt) -> None:
        """Remove a reason; records are taken again when no other is left."""
        self._halts.discard(why)
        self._capacity.set()

    def is_halted_for(self, why: Halt) -> bool:
        """Whether this is one of the reasons for which no records are taken."""
        return why in self._halts

    def detach(self) -> None:
        """Do not call the consumer until `attach`, because it is being restarted."""
        self._attached.clear()

    def attach(self) -> None:
        """Poll the consumer again."""
        self._attached.set()

    def take_refetch_offsets(self, names: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return, and forget, where to fetch again in these partitions.

        These are the first offsets of records that came while their partition was not open.
        """
        return {n: self._refetch_from.pop(n) for n in list(self._refetch_from) if n in names}

    def forget_refetch_offsets(self) -> None:
        """Forget where to fetch again, and what is refused: the partitions are given back."""
        self._refusals.forget()
        self._refetch_from.clear()

    async def run(self) -> None:
        """Fetch until cancelled."""
        while True:
            await self._attached.wait()
            await self._lost_positions.settle()
            ready, free = self._demand()
            asked = self._partitions.copy()
            try:
                if not ready:
                    await self._wait_for_capacity()
                    continue
                self._polled_at = self._clock.monotonic()
                admitted = self._admit_all(
                    await self._consumer.fetch(
                        ready, max_records=free, timeout_seconds=self._longest_wait()
                    )
                )
                await self._pass_end_gaps([name for name in ready if name not in admitted])
            except OffsetOutOfRangeError as error:
                self._lost_positions.lost(error, asked)
            except UnreadableRecordError as error:
                self._hold(error, asked)
            except ConfigurationError as error:  # the next fetch would fail in the same way
                self.on_dead_end(error)
            except ConsumerEndedError as error:
                self.on_ended(error)
                await self._clock.sleep(ERROR_PAUSE_SECONDS)
            except BrokerError as error:
                if self._attached.is_set():
                    log.warning("fetching failed, trying again: %s", error)
                    await self._clock.sleep(ERROR_PAUSE_SECONDS)

    def _demand(self) -> tuple[Sequence[TopicPartition], int]:
        """Partitions that may take more records, and how many records may be fetched."""
        if self.due_times is not None:
            self.due_times.resume_due()
        if self._halts:
            return (), 0
        while self._is_full():
            if self.backlog is None or not self.backlog.make_room(
                except_for=self._lost_positions.is_unsettled
            ):
                return (), 0
        free = self._max_records - self._metrics.in_flight_records
        if (few := self._refusals.max_in_flight) is not None:
            free = min(free, self._free_of(few))
            if free <= 0:
                return (), 0
        # However many partitions share them, each may be read.
        most = max(1, FRONTIER_FACTOR * self._max_records // max(1, len(self._partitions)))
        ready = [n for n, partition in self._partitions.items() if self._is_ready(partition, most)]
        if self.backlog is not None and len(ready) < len(self._partitions):
            partitions = self._partitions.values()
            self.backlog.advance([p for p in partitions if self._is_blocked(p, most)])
        return ready, free

    def _free_of(self, few: int) -> int:
        """How many records may be read while few are taken at a time, as a refused one is sought.

        What waits does not count: nothing of it is in a batch, and it may wait for others.
        """
        waiting = self.backlog.waiting_records if self.backlog is not None else 0
        at_work = self._metrics.in_flight_records - waiting
        return few - at_work if at_work <= few // 2 else 0

    def _is_full(self) -> bool:
        """Whether so much is in flight that no record is read."""
        records, value_bytes = 0, self.output_bytes()
        for partition in self._partitions.values():
            records += partition.in_flight_records
            value_bytes += partition.in_flight_bytes
        if records:  # else nothing would ever finish, and with it what keeps these bytes
            value_bytes = max(value_bytes, self._kept.total + self.output_bytes())
        self._metrics.in_flight_records = records
        self._metrics.in_flight_bytes = value_bytes
        # Waiting until half of the bound is free keeps chunks large when agents are slower than
        # fetching; else each finished record would be replaced by a fetch of one record.
        return records > self._max_records // 2 or value_bytes >= self._max_bytes

    def _is_blocked(self, partition: Partition, most: int) -> bool:
        # Offsets that are finished behind an unfinished one are in memory too, so there is a bound
        # for them; and they must fit into the metadata of a commit.
        return partition.metadata_full or len(partition.frontier) >= most

    def _is_ready(self, partition: Partition, most: int) -> bool:
        pause = self._pause(partition, most)
        if metrics := self._metrics.partitions.get(partition.name):
            metrics.pause = pause
        if partition.phase is not Phase.OPEN:
            return False
        if partition.reached_end and partition.until is not None:
            partition.frontier.skip_to(partition.until)
            if partition.is_uncommitted_at(partition.until):
                self.on_end()
            return False
        if partition.dead_end is not None and partition.frontier.idle:
            self.on_dead_end(partition.dead_end)
        if self.due_times is not None and self.due_times.is_waiting(partition):
            return False
        return pause is None

    def _pause(self, partition: Partition, most: int) -> Pause | None:
        """Why no record of it is read for now, although its assignment allows it."""
        if self._is_blocked(partition, most):
            return Pause.BEHIND_ONE
        if partition.dead_end is not None:
            return Pause.END
        if self._lost_positions.is_unsettled(partition):
            return Pause.POSITION_LOST
        if self.backlog is not None and self.backlog.holds(partition):
            return Pause.KEY_BACKLOG
        return None

    def _longest_wait(self) -> float:
        """How long a fetch may wait for records."""
        due_times = self.due_times
        return (
            self.fetch_seconds if due_times is None else due_times.seconds_left(self.fetch_seconds)
        )

    async def _wait_for_capacity(self) -> None:
        """Wait until more may be taken. Poll when that takes long, or the group evicts us."""
        self._capacity.clear()
        # Counted from the last poll: records that finish end this wait, but are no poll.
        left = self._polled_at + self.fetch_seconds - self._clock.monotonic()
        if self.due_times is not None:
            left = self.due_times.seconds_left(left)
        try:
            async with asyncio.timeout(left):
                await self._capacity.wait()
        except TimeoutError:
            self._polled_at = self._clock.monotonic()
            await self._consumer.fetch((), max_records=1, timeout_seconds=0)

    def _admit_all(
        self, fetched: Mapping[TopicPartition, FetchedRecords]
    ) -> frozenset[TopicPartition]:
        """Admit what was fetched, and keep none of it; returns the partitions."""
        for name, records in fetched.items():
            self._admit(name, records)
        return frozenset(fetched)

    def _admit(self, name: TopicPartition, records: FetchedRecords) -> None:
        partition = self._partitions.get(name)
        if partition is None or partition.phase is not Phase.OPEN or self._halts - {Halt.HELD}:
            # The partition is not open: these records are dropped, and fetched again when it is.
            self._refetch_from.setdefault(name, records.offsets[0])
            return
        if self.due_times is not None:
            records = self.due_times.due_of(partition, records)
            if not len(records):
                return
        if partition.until is not None and records.offsets[-1] >= partition.until:
            partition.reached_end = True
            records = records.before(partition.until)
            if not len(records):
                return
        already = partition.admit(records.offsets, event_timestamp(records[0]))
        if already:
            records = records.without(already)
        value_bytes = records.value_bytes(0, len(records))
        partition.in_flight_records += len(records)
        partition.in_flight_bytes += value_bytes
        self._metrics.records_in += len(records)
        self._metrics.bytes_in += value_bytes
        received = self._metrics.received[name.topic]
        received.records += len(records)
        received.bytes += value_bytes
        with_care = self._refusals.are_possible(name, records)
        with_care = with_care or name.topic in self.alone
        self._kept.add(records)
        self._ready.put(Chunk(partition, records, with_care=with_care))
        self.on_admitted()

    def _hold(
        self, error: UnreadableRecordError, asked: Mapping[TopicPartition, Partition]
    ) -> None:
        """Read the partition no more: the stage ends when all records before are finished."""
        partition = self._partitions.get(error.partition)
        if partition is None or partition is not asked.get(error.partition):
            return  # it was closed during the fetch; whoever reads it next meets the record again
        if partition.until is not None and error.offset >= partition.until:
            partition.reached_end = True
            return
        partition.dead_end = error
        # What to do about it is told when that is safe, at the end.
        log.error(
            "stage %s of %s: the record at offset %d of %s[%d] cannot be read; the stage ends when"
            " %d records in flight before it are finished",
            self._metrics.stage,
            self._metrics.pipeline,
            error.offset,
            error.partition.topic,
            error.partition.partition,
            partition.in_flight_records,
        )

    async def _pass_end_gaps(self, names: Iterable[TopicPartition]) -> None:
        """Move the frontier over gaps at the end of the log, such as transaction markers.

        This may be called between two fetches only: during a fetch, the consumer's position can
        already be past records that the fetch has not returned yet.
        """
        now = self._clock.monotonic()
        if now < self._next_gap_check:
            return
        self._next_gap_check = now + GAP_CHECK_SECONDS
        for name in names:
            partition = self._partitions.get(name)
            if partition is None or not _has_nothing_in_flight(partition):
                continue
            position = await self._consumer.position(name)
            if _has_nothing_in_flight(partition):
                partition.frontier.skip_to(position)
                partition.reached_end = partition.until is not None and position >= partition.until


def _has_nothing_in_flight(partition: Partition) -> bool:
    """Whether it is open, and no record of it is in flight."""
    return partition.phase is Phase.OPEN and partition.frontier.idle
