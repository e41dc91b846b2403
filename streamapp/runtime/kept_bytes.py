"""Fetched bytes that stay in memory while records of them are in flight.

Native leaves keep records as positions in the bytes that were fetched. These stay whole until the
last of their records was begun and its outputs are acknowledged.
"""

from weakref import WeakKeyDictionary

from streamapp.brokers.protocols import FetchedRecords


class KeptBytes:
    """Counts fetched bytes for as long as anybody keeps them."""

    def __init__(self) -> None:
        self._sizes: WeakKeyDictionary[FetchedRecords, int] = WeakKeyDictionary()

    def add(self, records: FetchedRecords) -> None:
        """Count the bytes of these records until nobody keeps them."""
        if size := records.kept_bytes:
            self._sizes[records] = size

    @property
    def total(self) -> int:
        """Bytes that are kept now."""
        return sum(self._sizes.values())
