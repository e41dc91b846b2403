"""The protocol of what makes the first attempts on records.

`Burst` makes them one record at a time, `BatchRun` with calls that take several. A fold over
records would be another implementation.
"""

from typing import Protocol

from streamapp.runtime.lane import Lane
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import Chunk
from streamapp.runtime.work import Work


class FirstAttempts(Protocol):
    """Makes the first attempts on the records of chunks."""

    async def run(self, lane: Lane, chunk: Chunk, started: float) -> None:
        """Take records of the chunk for at most one time slice, and count each in the metrics.

        Args:
            lane: the lane that runs this.
            chunk: where records are taken from.
            started: monotonic seconds now.

        Raises:
            AbandonedError: an attempt was cancelled, and its record will be read again.
        """

    async def run_waited(self, work: Work, lane: Lane, started: float) -> None:
        """Make an attempt on a record that has waited for its key or for a retry.

        Raises:
            AbandonedError: the attempt was cancelled, and its record will be read again.
        """

    async def run_due(self, lane: Lane, started: float) -> Partition | None:
        """Make attempts on records that have waited for others long enough.

        Returns:
            The partition of the first of them; `None` without any.
        """

    def take_one(self) -> Work | None:
        """Take the next record whose attempt can begin, even while records are held."""

    def publish_progress(self) -> None:
        """Bring lane, keys and open flush up to date with what `run` has done so far.

        For speed, `run` does this once for many records. So this has to be called before lanes,
        keys or open flushes are read.
        """
