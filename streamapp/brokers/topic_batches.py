"""The output batches of one topic: each record is added to the open batch of its partition.

Hot path: `append` is called once for each output. The native leaves have a twin, which computes
partitions instead of caching them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from streamapp.brokers.partitioner import Partitioner
from streamapp.brokers.protocols import BatchBuilder
from streamapp.native_leaves import SELECTED, native
from streamapp.record import Headers


class OpenBatches(Protocol):
    """Batches of one topic for one flush; `TopicBatches` says more."""

    def append(
        self, key: bytes | None, value: bytes | None, headers: Headers, timestamp: int
    ) -> int:
        """Add a record, and return its partition."""

    def take(self) -> Sequence[tuple[int, BatchBuilder]]:
        """Close and return all batches with their partitions."""

    def open_bytes(self) -> int:
        """Bytes in batches that are not closed yet."""

    def seal(self) -> None:
        """Close all batches; what is appended afterwards begins new ones."""


def open_batches(
    partitioner: Partitioner, create: Callable[[], BatchBuilder], on_sealed: Callable[[int], None]
) -> OpenBatches:
    """Batches of one topic for one flush, by the leaves that are selected."""
    make = native.TopicBatches if SELECTED.is_native else TopicBatches
    return make(partitioner, create, on_sealed)


class TopicBatches:
    """Batches of one topic for one flush.

    Args:
        partitioner: chooses partitions; all flushes share it.
        create: makes an empty batch.
        on_sealed: told the bytes of each batch that is closed, so that bytes need not be counted
            record by record.
    """

    __slots__ = (
        "_batches",
        "_create",
        "_filling",
        "_full",
        "_keyed",
        "_on_sealed",
        "_partitioner",
    )

    def __init__(
        self,
        partitioner: Partitioner,
        create: Callable[[], BatchBuilder],
        on_sealed: Callable[[int], None],
    ) -> None:
        self._on_sealed = on_sealed
        self._partitioner = partitioner
        self._keyed = partitioner.keyed
        self._create = create
        # For each partition: the function that appends to its open batch, and the index of the next
        # record in that batch. A list of two, because reading it costs less than an object.
        self._filling: list[list[Any]] = [[_no_batch, 0] for _ in range(partitioner.partitions)]
        self._batches: list[BatchBuilder | None] = [None] * partitioner.partitions
        self._full: list[tuple[int, BatchBuilder]] = []

    def append(
        self, key: bytes | None, value: bytes | None, headers: Headers, timestamp: int
    ) -> int:
        """Add a record, which the caller has checked against the limits of the topic.

        Args:
            key: key bytes, or `None`.
            value: value bytes, or `None` for a tombstone.
            headers: a list, if the broker is Kafka: its compiled builder accepts nothing else.
            timestamp: milliseconds since the epoch.

        Returns:
            The partition that it goes to.
        """
        partition = self._keyed.get(key)
        if partition is None:
            partition = self._partitioner.choose(key)
        append, place = filling = self._filling[partition]
        if append(place, timestamp, key, value, headers) is None:
            append, place = filling = self._begin(partition)
            if append(place, timestamp, key, value, headers) is None:
                raise RuntimeError("an empty batch has refused a record")
        filling[1] = place + 1
        return partition

    def take(self) -> Sequence[tuple[int, BatchBuilder]]:
        """Close and return all batches with their partitions.

        Batches of one partition are in the order in which they were filled. Nothing may be appended
        afterwards.
        """
        self.seal()
        self._partitioner.rotate_keyless()
        return self._full

    def open_bytes(self) -> int:
        """Bytes in batches that are not closed yet."""
        return sum([batch.size() for batch in self._batches if batch is not None])

    def seal(self) -> None:
        """Close all batches; what is appended afterwards begins new ones."""
        for partition, batch in enumerate(self._batches):
            if batch is not None:
                self._seal(partition)
                self._filling[partition] = [_no_batch, 0]

    def _begin(self, partition: int) -> list[Any]:
        """Open a new batch for a partition, whose current one is full."""
        self._seal(partition)
        batch = self._batches[partition] = self._create()
        filling = self._filling[partition] = [batch.appender, 0]
        return filling

    def _seal(self, partition: int) -> None:
        """Close the open batch of a partition, if there is one, and keep it for `take`."""
        batch, self._batches[partition] = self._batches[partition], None
        if batch is not None:
            batch.seal(self._filling[partition][1])
            self._full.append((partition, batch))
            self._on_sealed(batch.size())


def _no_batch(*_record: object) -> None:
    """Stands for the open batch of a partition that has none: answers that it is full."""
