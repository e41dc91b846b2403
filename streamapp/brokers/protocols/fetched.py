"""Records of one partition that were fetched together."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from streamapp.record import Record


class FetchedRecords(Protocol):
    """Records of one partition that were fetched together, in the order of their offsets.

    `first` and `last` are indexes into these records, and bound a slice as in Python: `last`
    itself is not part of it.
    """

    @property
    def offsets(self) -> Sequence[int]:
        """Offsets of the records, in rising order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Record]: ...

    def __getitem__(self, index: int) -> Record: ...

    @property
    def kept_bytes(self) -> int:
        """Fetched bytes that stay in memory as long as this object; 0 if records have their own."""

    def value_bytes(self, first: int, last: int) -> int:
        """Total bytes of the values of records `first` to `last - 1`."""

    def timestamps(self, first: int, last: int) -> Sequence[int]:
        """Timestamps of records `first` to `last - 1`, in milliseconds since the epoch."""

    def before(self, offset: int) -> "FetchedRecords":
        """The records below this offset."""

    def without(self, offsets: Collection[int]) -> "FetchedRecords":
        """The records with none of these offsets."""
