"""The output batches of one topic: each record goes to the open batch of its key's partition.

Hot path: `append` is called once for each output.
"""

from collections.abc import Callable, Sequence

from streamapp.brokers.partitioner import Partitioner
from streamapp.brokers.protocols import Append, BatchBuilder
from streamapp.record import Headers


class TopicBatches:
    """Batches of one topic that are filled together and taken together.

    Args:
        partitioner: places keys in partitions; shared by all batches of the topic.
        create: makes an empty batch.
    """

    __slots__ = ("_appends", "_batches", "_counts", "_create", "_full", "_keyed", "_partitioner")

    def __init__(self, partitioner: Partitioner, create: Callable[[], BatchBuilder]) -> None:
        self._partitioner = partitioner
        self._keyed = partitioner.keyed
        self._create = create
        partitions = partitioner.partitions
        self._appends: list[Append | None] = [None] * partitions
        self._counts = [0] * partitions
        self._batches: list[BatchBuilder | None] = [None] * partitions
        self._full: list[tuple[int, BatchBuilder]] = []

    def append(
        self, key: bytes | None, value: bytes | None, headers: Headers, timestamp: int
    ) -> None:
        """Add a record; it has been checked against the limits of the topic."""
        partition = self._keyed.get(key)
        if partition is None:
            partition = self._partitioner.place(key)
        if type(headers) is not list:
            headers = list(headers)  # the compiled builder takes nothing else
        append, place = self._appends[partition], self._counts[partition]
        if append is None or append(place, timestamp, key, value, headers) is None:
            self._begin(partition)(0, timestamp, key, value, headers)
        self._counts[partition] += 1

    def take(self) -> Sequence[tuple[int, BatchBuilder]]:
        """All batches with their partitions, those of one partition in the order they were filled.

        Nothing may be appended afterwards.
        """
        for partition, batch in enumerate(self._batches):
            if batch is not None:
                self._seal(partition, batch)
        self._partitioner.turn()
        return self._full

    def _begin(self, partition: int) -> Append:
        """Begin a new batch; one that was full is kept."""
        full = self._batches[partition]
        if full is not None:
            self._seal(partition, full)
        batch = self._batches[partition] = self._create()
        self._counts[partition] = 0
        append = self._appends[partition] = batch.appender
        return append

    def _seal(self, partition: int, batch: BatchBuilder) -> None:
        batch.seal(self._counts[partition])
        self._full.append((partition, batch))
