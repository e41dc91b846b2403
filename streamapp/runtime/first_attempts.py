"""What makes the first attempts on records: one by one, or in its place in batches or a fold."""

from typing import Protocol

from streamapp.runtime.lane import Lane
from streamapp.runtime.ready import Chunk


class FirstAttempts(Protocol):
    """Works through chunks of records, from their first attempt on."""

    async def run(self, lane: Lane, chunk: Chunk, started: float) -> None:
        """Take records of the chunk, for one time slice at the most, and account for each.

        Args:
            lane: runs this.
            chunk: where records are taken from.
            started: monotonic seconds now.

        Raises:
            AbandonedError: the record in the lane's hands will be delivered again.
        """

    def make_current_known(self) -> None:
        """Make everything known that `run` has begun or finished and not told of yet.

        Whoever looks at lanes, keys or open flushes calls it first.
        """
