"""Records that output topics refuse: found before they are written, or by taking batches apart.

The limits of topics are known, so most of what a broker would refuse is refused here, at the record
whose fault it is. What is left is found by trial: when the broker refuses a batch for what is in
it, the records of that batch are worked on again, half as many at a time as were in it, and again
half as many, until one is alone; meanwhile the others are written and finished. The one that is
refused alone goes the way of its policy.
"""

import logging
from collections.abc import Collection, Mapping

from streamapp.brokers.protocols import FetchedRecords
from streamapp.clock import Clock
from streamapp.errors import BatchRefusedError, RecordRefusedError
from streamapp.record import TopicPartition
from streamapp.runtime.flush import Place
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.partition import Partition

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""How long few records are worked on at a time after the last refusal.

Usually the records that are looked for are found within seconds. But one of them may wait for a
retry now, and the others are not to wait for that.
"""


class Refusals:
    """What is known of the records that the topics of a segment refuse.

    Args:
        targets: its output topics and dead-letter topics.
        clock: the time.
        name: of the segment, for the log.

    Attributes:
        has_narrowed: whether the last refusal told more than the one before.
    """

    def __init__(self, targets: Collection[OutputTopic], clock: Clock, name: str) -> None:
        self._targets = targets
        self._clock = clock
        self._name = name
        self._known: dict[TopicPartition, dict[int, dict[str, RecordRefusedError]]] = {}
        self._suspects: dict[TopicPartition, set[int]] = {}
        self._bound: int | None = None
        self._taken: set[Place] = set()
        self._until = 0.0
        self.has_narrowed = False

    @property
    def max_in_flight(self) -> int | None:
        """How many records may be in flight while one that is refused is looked for."""
        if self._bound is not None and self._clock.monotonic() >= self._until:
            self._end()
        return self._bound

    def are_possible(self, name: TopicPartition, records: FetchedRecords) -> bool:
        """Whether outputs of some of these records will be refused, unless they are filtered."""
        if not len(records):
            return False
        if not self._known.get(name, {}).keys().isdisjoint(records.offsets):
            return True
        limited = [
            target
            for target in self._targets
            if not target.holds_letters
            and (target.max_ahead_ms is not None or target.max_age_ms is not None)
        ]
        if not limited:
            return False
        timestamps = records.timestamps(0, len(records))
        latest = max(timestamps)
        ages = any(target.max_age_ms is not None for target in limited)
        earliest = min(timestamps) if ages else latest
        return not all(target.takes_timestamps(earliest, latest) for target in limited)

    def check(self, name: TopicPartition, offset: int, target: OutputTopic) -> None:
        """Refuse an output of a record whose output was refused before.

        Raises:
            RecordRefusedError: the topic has refused it alone.
        """
        if self._known:
            error = self._known.get(name, {}).get(offset, {}).get(target.name)
            if error is not None:
                raise error

    def batch_refused(
        self,
        error: BatchRefusedError,
        place: Place,
        suspects: Mapping[Partition, Collection[int]],
    ) -> None:
        """Look for the record for which a batch was refused.

        Args:
            error: what the broker said.
            place: where it was refused.
            suspects: offsets of the records that have outputs in the batch.
        """
        number = sum(map(len, suspects.values()))
        before = self._bound
        self.has_narrowed = number > 0
        if not number:
            return
        if before is None:
            self._taken.clear()
        self._until = self._clock.monotonic() + PATIENCE_SECONDS
        self._suspects = {p.name: set(offsets) for p, offsets in suspects.items() if offsets}
        self._bound = max(1, number // 2)
        if number == 1 and (error.is_certain or place in self._taken):
            [(name, offsets)] = self._suspects.items()
            self._convict(error, place[0], name, min(offsets))
        else:
            self.has_narrowed = before is None or self._bound < before

    def taken(self, place: Place) -> None:
        """Note that the broker has taken a batch there."""
        if self._bound is not None:
            self._taken.add(place)

    def finished(self, partition: Partition) -> None:
        """Go on as usual once the records that are looked for are finished."""
        name, frontier = partition.name, partition.frontier
        position = frontier.offset or 0
        if self._known and name in self._known:
            self._known[name] = {n: e for n, e in self._known[name].items() if n >= position}
            if not self._known[name]:
                del self._known[name]
        if self._bound is None or name not in self._suspects:
            return
        ahead = frontier.finished_ahead
        left = {n for n in self._suspects[name] if n >= position and n not in ahead}
        self._suspects[name] = left
        if not any(self._suspects.values()):
            self._end()

    def forget(self) -> None:
        """Forget all records, since the partitions are given back."""
        self._known.clear()
        self._end()

    def _convict(
        self, error: BatchRefusedError, target: OutputTopic, name: TopicPartition, offset: int
    ) -> None:
        topic = target.name
        if target.holds_letters and not target.untimed:
            # The clocks differ by more than the topic allows: any broker takes no timestamp at all.
            target.untimed = True
            return
        refused = RecordRefusedError(f"topic {topic!r} refuses an output of this record: {error}")
        self._known.setdefault(name, {}).setdefault(offset, {})[topic] = refused
        log.warning(
            "%s: topic %s refuses what was made of the record at offset %d of %s[%d]; its policy"
            " applies: %s",
            self._name,
            topic,
            offset,
            name.topic,
            name.partition,
            error,
        )

    def _end(self) -> None:
        self._bound = None
        self._suspects = {}
