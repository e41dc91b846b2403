"""Compresses batches in a thread of its own, so that the event loop goes on meanwhile.

The codecs let other threads run while they work. Batches are compressed in the order in which they
are given, so those of a partition are ready in their order.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

from streamapp.errors import BrokerError

Compress: TypeAlias = Callable[[bytearray], bytearray]


class Compressor:
    """One thread, which begins with its first batch."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "streamapp-compression")
        self._is_stopped = False

    def begin(self, compress: Compress, batch: bytearray) -> "Future[bytearray]":
        """Have a batch compressed, behind those that were given before.

        The future fails with a `BrokerError` if this is stopped before it begins.
        """
        if not self._is_stopped:
            return self._thread.submit(self._compress, compress, batch)
        refused = Future[bytearray]()
        refused.set_exception(_stopped())
        return refused

    def stop(self) -> None:
        """Compress no further batch; one that is being compressed is not waited for."""
        self._is_stopped = True
        self._thread.shutdown(wait=False)

    def _compress(self, compress: Compress, batch: bytearray) -> bytearray:
        if self._is_stopped:
            raise _stopped()
        return compress(batch)


def _stopped() -> BrokerError:
    return BrokerError("the producer was stopped before this batch was compressed")
