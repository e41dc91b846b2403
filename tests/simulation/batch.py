"""Runs many seeds, and adds up failures, faults that happened and checks that were made."""

import gc
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.faults import Fault
from tests.simulation.simulate import simulate

CHUNK = 25


@dataclass(slots=True)
class Batch:
    """The results of some seeds.

    Attributes:
        seeds: number of seeds.
        failed: the first complaint of each seed that failed.
        fired: faults that happened.
        checks: how often each promise was checked.
        repeated: outputs that were written again because of a fault.
        clean: seeds without any fault that allows repetitions.
        virtual_seconds: total virtual time of the runs.
    """

    seeds: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    fired: Counter[Fault] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    clean: int = 0
    virtual_seconds: float = 0.0

    def add(self, other: "Batch") -> None:
        """Add the results of another part."""
        self.seeds += other.seeds
        self.failed |= other.failed
        self.fired += other.fired
        self.checks += other.checks
        self.repeated += other.repeated
        self.clean += other.clean
        self.virtual_seconds += other.virtual_seconds


def run_here(seeds: Iterable[int]) -> Batch:
    """Run seeds one after the other."""
    batch = Batch()
    for seed in seeds:
        result = simulate(seed)
        batch.seeds += 1
        batch.fired += result.fired
        batch.checks += result.checks
        batch.repeated += result.repeated
        batch.clean += result.scenario.is_clean
        batch.virtual_seconds += result.seconds
        if result.complaints:
            batch.failed[seed] = result.complaints[0]
    return batch


def run_parallel(
    seeds: Sequence[int], processes: int, on_progress: Callable[[Batch], None]
) -> Batch:
    """Run seeds in several processes."""
    total = Batch()
    with ProcessPoolExecutor(processes, initializer=_start) as pool:
        try:
            for part in pool.map(run_here, _chunks(seeds)):
                total.add(part)
                on_progress(total)
        except BaseException:  # interrupted: what has not begun is not to begin
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return total


def first_found(seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first seed that fails, and its complaint."""
    for seed in seeds:
        if complaints := simulate(seed).complaints:
            return seed, complaints[0]
    return None


def _start() -> None:
    """Ignore the interrupt in a child process: its parent ends it after the seeds in progress."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()


def _chunks(seeds: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(seeds), CHUNK):
        yield seeds[start : start + CHUNK]
