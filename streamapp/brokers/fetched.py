"""Records of one partition that were fetched together, as a list of record objects.

Hot path: sizes, offsets and timestamps are returned for a whole slice of records in one call.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from operator import attrgetter

from streamapp.record import Record

_value_of = attrgetter("value")
_timestamp_of = attrgetter("timestamp")


class FetchedList:
    """`protocols.FetchedRecords`, made of a list of records."""

    __slots__ = ("__weakref__", "_records", "_sizes", "offsets")

    kept_bytes = 0

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self._sizes: list[int] | None = None
        self.offsets: Sequence[int] = ()
        if records:
            first, last = records[0].offset, records[-1].offset
            if last - first + 1 == len(records):  # offsets rise, so there is no gap between them
                self.offsets = range(first, last + 1)
            else:
                self.offsets = [record.offset for record in records]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __getitem__(self, index: int) -> Record:
        return self._records[index]

    def value_bytes(self, first: int, last: int) -> int:
        """Total bytes of the values of records `first` to `last - 1`."""
        if self._sizes is None:
            self._sizes = [0, *accumulate(_sizes(self._records))]
        return self._sizes[last] - self._sizes[first]

    def timestamps(self, first: int, last: int) -> Sequence[int]:
        """Timestamps of records `first` to `last - 1`."""
        return list(map(_timestamp_of, self._records[first:last]))

    def before(self, offset: int) -> "FetchedList":
        """The records below this offset."""
        return FetchedList([record for record in self._records if record.offset < offset])

    def since(self, offset: int) -> "FetchedList":
        """The records from this offset on."""
        return FetchedList([record for record in self._records if record.offset >= offset])

    def part(self, first: int, last: int) -> "FetchedList":
        """Records `first` to `last - 1`."""
        return FetchedList(self._records[first:last])

    def joined(self, others: "FetchedList") -> "FetchedList":
        """These records and then the others, which have higher offsets."""
        return FetchedList([*self, *others])

    def without(self, offsets: Collection[int]) -> "FetchedList":
        """The records with none of these offsets."""
        return FetchedList([record for record in self._records if record.offset not in offsets])


def _sizes(records: Sequence[Record]) -> Sequence[int]:
    try:
        return list(map(len, map(_value_of, records)))
    except TypeError:  # a tombstone has no value
        return [len(record.value or b"") for record in records]
