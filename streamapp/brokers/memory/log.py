"""The log of one partition: records in offset order, with gaps, and a start that moves.

Hot path: `append` and `read` cost a list operation for each record and the rest for each batch.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Protocol

from streamapp.brokers.memory.batch import Entry
from streamapp.record import StoredRecord, TopicPartition

_offset_of = attrgetter("offset")
_MIN_COMPACTION_RECORDS = 1024


class Reader(Protocol):
    """Somebody who waits for records."""

    def wake(self, partition: TopicPartition) -> None:
        """There is something new in this partition."""


class PartitionLog:
    """Records of one partition.

    Attributes:
        partition: topic and partition.
        start_offset: first offset that can be read; moves up as records are deleted.
        end_offset: offset that the next record gets.
        readers: told about every append.
    """

    __slots__ = ("_head", "_records", "end_offset", "partition", "readers", "start_offset")

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.start_offset = 0
        self.end_offset = 0
        self.readers: dict[Reader, None] = {}
        self._records: list[StoredRecord] = []
        self._head = 0

    def __len__(self) -> int:
        return len(self._records) - self._head

    def append(self, entries: Iterable[Entry]) -> int:
        """Add a batch; returns the offset of its first record."""
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
        """Leave a gap, as a transaction marker or an aborted batch does."""
        self.end_offset += count

    def holds(self, offset: int) -> bool:
        """Whether reading can start at this offset; the end is a valid place."""
        return self.start_offset <= offset <= self.end_offset

    def read(self, offset: int, max_records: int) -> tuple[Sequence[StoredRecord], int]:
        """Up to `max_records` from `offset` on, and the offset to go on at.

        The caller has checked that the log holds the offset.
        """
        records = self._records
        first = self._index(offset)
        last = first + max_records
        taken = records[first:last]
        if last >= len(records):
            return taken, self.end_offset
        return taken, taken[-1].offset + 1 if taken else offset

    def delete_before(self, offset: int) -> None:
        """Move the start of the log up to this offset."""
        self._head = self._index(offset)
        self.start_offset = max(self.start_offset, offset)
        self._compact()

    def trim(self, keep_records: int, needed_from: int) -> None:
        """Delete all but the newest `keep_records`, and nothing from `needed_from` on."""
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
        guess = head + offset - records[head].offset  # right when there are no gaps
        if head <= guess < len(records) and records[guess].offset == offset:
            return guess
        return bisect_left(records, offset, lo=head, key=_offset_of)

    def _compact(self) -> None:
        """Free deleted records once they are half of the list: constant cost for each record."""
        if self._head >= _MIN_COMPACTION_RECORDS and self._head * 2 >= len(self._records):
            del self._records[: self._head]
            self._head = 0
