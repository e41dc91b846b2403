"""The weather: the state of the network between workers and broker, set by scenarios."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Weather:
    """The state of a network, shared by all proxies of a broker.

    Attributes:
        rng: draws delays and sizes.
        latency_seconds: mean and spread of the delay of each chunk; `None` means no delay.
        slice_bytes: chunks are cut into pieces of at most this size; 0 leaves them whole.
        fired: faults that hit a connection or a chunk, by kind.
    """

    rng: random.Random
    latency_seconds: tuple[float, float] | None = None
    slice_bytes: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    _clear: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._clear.set()

    def blackhole(self) -> None:
        """Let nothing through; what is sent is kept, as in a network that drops packets."""
        self._clear.clear()

    def clear(self) -> None:
        """End all faults: what was kept arrives."""
        self.latency_seconds, self.slice_bytes = None, 0
        self._clear.set()

    async def passage(self) -> None:
        """Wait while nothing is let through."""
        if not self._clear.is_set():
            self.fired["chunks held"] += 1
            await self._clear.wait()

    def delay_seconds(self) -> float:
        """Draw the delay of the next chunk."""
        if self.latency_seconds is None:
            return 0.0
        self.fired["chunks delayed"] += 1
        mean, spread = self.latency_seconds
        return self.rng.uniform(mean - spread, mean + spread)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces in which a chunk arrives."""
        if not self.slice_bytes:
            yield chunk
            return
        at = 0
        while at < len(chunk):
            size = self.rng.randint(1, self.slice_bytes)
            self.fired["pieces"] += 1
            yield chunk[at : at + size]
            at += size
