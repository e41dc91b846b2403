"""The log of one partition: its records by offset, with gaps; its start moves up.

Hot path: for each record, `append` and `read` do one list operation; all else is once a batch.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Protocol

from streamapp.brokers.memory.batch import Entry
from streamapp.record import StoredRecord, TopicPartition

_offset_of = attrgetter("offset")
_MIN_COMPACTION_RECORDS = 1024  # fewer deleted records are not worth moving the others


class Reader(Protocol):
    """A consumer that waits for records."""

    def wake(self, partition: TopicPartition) -> None:
        """Look for new records in this partition."""


class PartitionLog:
    """Records of one partition.

    Attributes:
        partition: topic and partition.
        start_offset: first offset that can be read; it rises when records are deleted.
        end_offset: offset that the next record gets.
        readers: woken by every append.
        unreadable: offsets of records that no consumer can parse.
    """

    __slots__ = (
        "_head",
        "_records",
        "end_offset",
        "partition",
        "readers",
        "start_offset",
        "unreadable",
    )

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.start_offset = 0
        self.end_offset = 0
        self.readers: dict[Reader, None] = {}
        self.unreadable: set[int] = set()
        self._records: list[StoredRecord] = []
        self._head = 0

    def __len__(self) -> int:
        return len(self._records) - self._head

    def append(self, entries: Iterable[Entry]) -> int:
        """Append a batch, and return the offset of its first record."""
        base = self.end_offset
        records = self._records
        records.extend(
            [
                StoredRecord(offset, timestamp, key, value, headers)
                for offset, (timestamp, key, value, headers) in enumerate(entries, base)
            ]
        )
        if records:
            self.end_offset = max(base, records[-1].offset + 1)
        for reader in self.readers:
            reader.wake(self.partition)
        return base

    def skip_offsets(self, count: int) -> None:
        """Leave a gap of `count` offsets, as a transaction marker or an aborted batch does."""
        self.end_offset += count

    def holds(self, offset: int) -> bool:
        """Whether reading can start at this offset, which may also be the end of the log."""
        return self.start_offset <= offset <= self.end_offset

    def read(self, offset: int, max_records: int) -> tuple[Sequence[StoredRecord], int]:
        """Records from `offset` on, at most `max_records`, and the offset behind them.

        The caller must have checked with `holds` that reading can start there.
        """
        records = self._records
        first = self._index(offset)
        last = first + max_records
        taken = records[first:last]
        if last >= len(records):
            return taken, self.end_offset
        return taken, taken[-1].offset + 1 if taken else offset

    def offset_from(self, timestamp_ms: int) -> int:
        """Offset of the first record that has this timestamp or a later one, else the end."""
        records = self._records
        later = (i for i in range(self._head, len(records)) if records[i].timestamp >= timestamp_ms)
        index = next(later, None)
        return self.end_offset if index is None else records[index].offset

    def delete_before(self, offset: int) -> None:
        """Delete the records before this offset, which becomes the start of the log."""
        self._head = self._index(offset)
        self.start_offset = max(self.start_offset, offset)
        self._compact()

    def truncate(self, end_offset: int) -> None:
        """Lose the records from this offset on, as after the election of a leader without them."""
        del self._records[self._index(end_offset) :]
        self.end_offset = end_offset

    def expire(self, before_ms: int) -> None:
        """Delete the first records, up to the first whose timestamp is not before this."""
        records = self._records
        for index in range(self._head, len(records)):
            if records[index].timestamp >= before_ms:
                self.delete_before(records[index].offset)
                return
        self.delete_before(self.end_offset)

    def trim(self, keep_records: int, needed_from: int) -> None:
        """Delete all but the newest `keep_records`; records from `needed_from` on are kept too."""
        surplus = len(self) - keep_records
        if surplus > 0:
            last_surplus = self._records[self._head + surplus - 1].offset
            before = min(last_surplus + 1, needed_from)
            if before > self.start_offset:
                self.delete_before(before)

    def _index(self, offset: int) -> int:
        """Index of the first record at or after `offset`."""
        records, head = self._records, self._head
        if head == len(records):
            return head
        guess = head + offset - records[head].offset  # correct if there are no gaps before it
        if head <= guess < len(records) and records[guess].offset == offset:
            return guess
        return bisect_left(records, offset, lo=head, key=_offset_of)

    def _compact(self) -> None:
        """Free deleted records once they are half of the list, which keeps the cost linear."""
        if self._head >= _MIN_COMPACTION_RECORDS and self._head * 2 >= len(self._records):
            del self._records[: self._head]
            self._head = 0
