"""A flush: batches that are sent together, and the records that they were made of.

Hot path: `Flush.writer_for` gives what writes outputs, and `add_finished` takes many at
once. What is kept besides is looked at only when a batch of the flush fails.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from streamapp.brokers.protocols import BatchBuilder, FetchedRecords
from streamapp.brokers.topic_batches import OpenBatches, open_batches
from streamapp.observability.stage_metrics import DeadLetterReason, StageMetrics
from streamapp.record import Record, event_timestamp
from streamapp.runtime.encoding import Outlet, Writer
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.partition import Partition
from streamapp.runtime.producer import SharedProducer
from streamapp.runtime.work import Work

Place: TypeAlias = tuple[OutputTopic, int]
"""An output topic and one of its partitions."""


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where a burst writes the outputs of its records, each of which has one or none.

    Attributes:
        topics: the topics.
        keep_keys: whether every output has the key of its record, which says its partition.
        order_key: tells records that wait for one another; `None` for one that waits for no other.
    """

    topics: Sequence[OutputTopic]
    keep_keys: bool
    order_key: Callable[[Record], bytes | None]


Run: TypeAlias = tuple[FetchedRecords, int, int, Outlets]
"""Records that were fetched together, the first and the end of those of a burst, and its outlets.

A plain tuple, because one is made whenever an attempt suspends.
"""


@dataclass(frozen=True, slots=True)
class Written:
    """A record that did not end in a burst, and where its outputs are.

    Attributes:
        offset: its offset.
        order_key: the key that it has held.
        places: where its outputs and dead letters are.
        dead_letters: the counters of the dead letters among them.
    """

    offset: int
    order_key: bytes | None
    places: frozenset[Place]
    dead_letters: Sequence[tuple[StageMetrics, DeadLetterReason]]


@dataclass(slots=True)
class PartitionRecords:
    """What a flush holds of one input partition.

    Attributes:
        offsets: offsets of all its records.
        value_bytes: bytes of their values.
        runs, works: the same records, with what tells where their outputs are.
    """

    offsets: list[int] = field(default_factory=list)
    value_bytes: int = 0
    runs: list[Run] = field(default_factory=list)
    works: list[Written] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Flush:
    """Batches that are sent together, and the records they were made of.

    Attributes:
        batches: the batches of each topic, until they are sent.
        shares: the records, by input partition.
        outputs: output records by where they go.
        dead_letters: which stage's records went to its dead letters, and why.
        unacknowledged: batches sent or to be sent, less those acknowledged.
        sealed_bytes: bytes of its batches that are closed.
        waiting: how many batches of each place are not acknowledged.
        partitions: for each topic that it has batches of, the number of partitions by which keys
            were distributed, and the partition of its records without a key.
        writers: what writes to its batches, by outlet, until they are sent.
    """

    producer: SharedProducer
    on_sealed: Callable[[int], None]
    batches: dict[OutputTopic, OpenBatches] = field(default_factory=dict)
    shares: dict[Partition, PartitionRecords] = field(default_factory=dict)
    outputs: defaultdict[OutputTopic, int] = field(default_factory=lambda: defaultdict(int))
    dead_letters: list[tuple[StageMetrics, DeadLetterReason]] = field(default_factory=list)
    unacknowledged: int = 0
    sealed_bytes: int = 0
    waiting: Counter[Place] = field(default_factory=Counter)
    partitions: dict[OutputTopic, tuple[int, int]] = field(default_factory=dict)
    writers: dict[Outlet, Writer] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """How many records it holds."""
        return sum([len(share.offsets) for share in self.shares.values()])

    def batches_for(self, topic: OutputTopic) -> OpenBatches:
        """The batches of this topic."""
        batches = self.batches.get(topic)
        if batches is None:
            create = partial(
                self.producer.current.create_batch, topic.max_message_bytes, topic.for_large
            )
            batches = self.batches[topic] = open_batches(topic.partitioner, create, self._sealed)
        return batches

    def writer_for(self, outlet: Outlet) -> Writer:
        """What writes to its batches for an outlet."""
        writer = self.writers.get(outlet)
        if writer is None:
            writer = self.writers[outlet] = outlet.writer(self.batches_for(outlet.topic))
        return writer

    def open_bytes(self) -> int:
        """Bytes in batches that are not closed yet."""
        return sum(batches.open_bytes() for batches in self.batches.values())

    def _sealed(self, size: int) -> None:
        self.sealed_bytes += size
        self.on_sealed(size)

    def add_finished(
        self,
        partition: Partition,
        records: FetchedRecords,
        first: int,
        until: int,
        outlets: Outlets,
    ) -> None:
        """Take over records `first` to `until - 1`, whose outputs a burst has appended."""
        share = self._share_of(partition)
        share.offsets += records.offsets[first:until]
        share.value_bytes += records.value_bytes(first, until)
        share.runs.append((records, first, until, outlets))

    def add(self, work: Work) -> None:
        """Append the outputs of a record that did not end in a burst, and take it over."""
        record = work.record
        places = set[Place]()
        for target, key, value, kept in work.outputs or ():
            headers, timestamp = target.date(kept, event_timestamp(record))
            number = self.batches_for(target).append(key, value, headers, timestamp)
            places.add((target, number))
        letters = work.dead_letters or ()
        share = self._share_of(work.partition)
        share.offsets.append(record.offset)
        share.value_bytes += len(record.value or b"")
        share.works.append(Written(record.offset, work.order_key, frozenset(places), letters))
        self.dead_letters += letters

    def take_batches(self) -> Sequence[tuple[Place, BatchBuilder]]:
        """Close and return all batches; from now on they wait for their acknowledgements."""
        taken: list[tuple[Place, BatchBuilder]] = []
        for topic, own in self.batches.items():
            partitioner = topic.partitioner
            self.partitions[topic] = (partitioner.partitions, partitioner.keyless)
            taken += [((topic, number), batch) for number, batch in own.take()]
        self.batches, self.writers = {}, {}
        self.waiting.update(place for place, _ in taken)
        return taken

    def acknowledge(self, place: Place) -> None:
        """Note that a batch of this place is acknowledged."""
        self.waiting[place] -= 1
        if not self.waiting[place]:
            del self.waiting[place]

    def _share_of(self, partition: Partition) -> PartitionRecords:
        share = self.shares.get(partition)
        if share is None:
            share = self.shares[partition] = PartitionRecords()
        return share
