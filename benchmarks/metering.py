"""What metrics cost for each record: the runtime with its metering and with nothing in its place.

`python -m benchmarks.metering`, a minute. CPU time of this process, both sides in turns on the
same records and without sockets. Metering is what counts durations, ages and the time of lanes; the
times of attempts themselves stay, since deadlines and breakers need them too. The difference of two
sides is small beside the noise of a shared machine, so the calls that make it are also timed by
themselves, with the arguments that they had. And a scrape, which costs the same whatever the rate.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest import mock

from benchmarks.figures import Figures, spread, write
from benchmarks.hot_path import Log, end_of, make_log, run_segment
from benchmarks.tables import metering as table
from benchmarks.testbed import machine
from streamapp.clock import SystemClock
from streamapp.observability.exporter import MetricsExporter
from streamapp.observability.histogram import Histogram
from streamapp.observability.lane_time import LaneTime
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime import burst

RECORDS = 30_000
MODES = ("sync", "async", "dict")
METERS: tuple[tuple[Any, str], ...] = (
    (burst, "observe_durations"),
    (burst, "observe_ages"),
    (Histogram, "observe"),
    (LaneTime, "enter"),
    (LaneTime, "leave"),
)
"""What is called to count, by where it stands."""

STAGES, PARTITIONS = 4, 16
"""Of the worker that is scraped."""

SCRAPE_EVERY_SECONDS = 15

Call = tuple[Callable[..., object], tuple[Any, ...]]


def nothing(*_: object) -> None:
    """Count nothing."""


@contextmanager
def replaced(by: Callable[[Callable[..., object]], Callable[..., object]]) -> Iterator[None]:
    """Put something in the place of each meter."""
    patches = [mock.patch.object(place, name, by(getattr(place, name))) for place, name in METERS]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def microseconds(log: Log, mode: str) -> float:
    """CPU time for each record of one run."""
    gc.collect()
    before = time.process_time()
    asyncio.run(run_segment(log, mode))
    return (time.process_time() - before) / sum(map(end_of, log.values())) * 1e6


def in_turns(log: Log, mode: str, rounds: int) -> Mapping[str, list[float]]:
    """Times with and without metering, each first in every second round."""
    spent: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(rounds):
        for side in sorted(spent, reverse=bool(number % 2)):
            if side == "with":
                spent[side].append(microseconds(log, mode))
            else:
                with replaced(lambda _: nothing):
                    spent[side].append(microseconds(log, mode))
    return spent


def calls_of(log: Log, mode: str) -> list[Call]:
    """What one run asks of the meters."""
    calls: list[Call] = []

    def noted(meter: Callable[..., object]) -> Callable[..., object]:
        def note(*arguments: Any) -> object:
            kept = [list(one) if isinstance(one, list) else one for one in arguments]
            calls.append((meter, tuple(kept)))
            return meter(*arguments)

        return note

    with replaced(noted):
        asyncio.run(run_segment(log, mode))
    return calls


def own_microseconds(log: Log, mode: str, rounds: int) -> Figures:
    """CPU time for each record of the calls of the meters alone."""
    calls, records, times = calls_of(log, mode), sum(map(end_of, log.values())), []
    for _ in range(rounds):
        before = time.process_time()
        for meter, arguments in calls:
            meter(*arguments)
        times.append((time.process_time() - before) / records * 1e6)
    return spread(times)


def scrape_ms(rounds: int) -> Figures:
    """CPU time of a scrape of a worker."""
    clock = SystemClock()
    exporter = MetricsExporter(clock)
    for number in range(STAGES):
        stage = StageMetrics("bench", f"stage-{number}", "source")
        names = (TopicPartition("source", partition) for partition in range(PARTITIONS))
        stage.partitions = {name: PartitionMetrics(1, clock.time()) for name in names}
        exporter.stages.add(stage)

    async def scrape() -> float:
        before = time.process_time()
        await exporter.render("application/openmetrics-text")
        return (time.process_time() - before) * 1e3

    async def several() -> list[float]:
        return [await scrape() for _ in range(rounds)]

    return spread(asyncio.run(several()))


def measured(log: Log, mode: str, rounds: int) -> dict[str, object]:
    spent = in_turns(log, mode, rounds)
    pairs = zip(spent["with"], spent["without"], strict=True)
    return {
        **{side: spread(times) for side, times in spent.items()},
        "more_percent": round((median(one / other for one, other in pairs) - 1) * 100, 2),
        "own_us": own_microseconds(log, mode, rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    described, log = machine(), make_log(RECORDS)
    asyncio.run(run_segment(log, MODES[0]))  # imports, and whatever is made once
    write(
        "metering",
        "python -m benchmarks.metering",
        described,
        rounds=rounds,
        modes={mode: measured(log, mode, rounds) for mode in MODES},
        scrape_ms=scrape_ms(rounds),
        scraped={
            "stages": STAGES,
            "partitions": PARTITIONS,
            "every_seconds": SCRAPE_EVERY_SECONDS,
        },
    )
    print(table())


if __name__ == "__main__":
    main()
