"""Draws faults from the seed, counts them, and writes them into the trace."""

import hashlib
import random
from collections import Counter
from collections.abc import Mapping

from tests.simulation.faults import Fault
from tests.simulation.loop import PROCESS, VirtualLoop


class Trace:
    """What happened, in order; the same seed gives the same lines, byte for byte."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.lines: list[str] = []
        self._loop = loop

    def __call__(self, happened: str) -> None:
        self.lines.append(f"{self._loop.time():.6f} {PROCESS.get() or '-'} {happened}")

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


class Dice:
    """Decides which faults happen.

    Attributes:
        fired: faults that happened.
        quiet: whether no further faults happen.
    """

    def __init__(self, rng: random.Random, rates: Mapping[Fault, float], trace: Trace) -> None:
        self.fired: Counter[Fault] = Counter()
        self.quiet = False
        self._rng = rng
        self._rates = rates
        self._trace = trace

    def strikes(self, fault: Fault) -> bool:
        """Decide whether this fault happens here and now."""
        rate = self._rates.get(fault)
        if rate is None or self.quiet or self._rng.random() >= rate:
            return False
        self.note(fault)
        return True

    def note(self, fault: Fault, of: str = "") -> None:
        """Count a fault that happens."""
        self.fired[fault] += 1
        self._trace(f"fault: {fault} {of}")

    def one_of(self, *faults: Fault) -> Fault | None:
        """The first of these faults that happens here and now, if any."""
        return next((fault for fault in faults if self.strikes(fault)), None)

    def seconds(self, most: float) -> float:
        """Draw a duration of at most `most`."""
        return self._rng.uniform(0.0, most)
