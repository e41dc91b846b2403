"""The job of a contender, its measurement, and how it measures itself.

A contender runs in a process of its own: `python -m benchmarks.<module> '<job as JSON>'` prints
its measurement as JSON in the last line of its output.
"""

import asyncio
import dataclasses
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

PARTITIONS = 4
"""Of a topic, where a contender does not say otherwise."""

BATCH_RECORDS = 2048
"""Records of a hand loop's batch, and of a flush of streamapp: its default."""

MAX_BATCH_BYTES = 512 * 1024
MAX_FETCH_BYTES = 32 * 1024 * 1024
MAX_PARTITION_FETCH_BYTES = 1024 * 1024
FETCH_MAX_WAIT_MS = 200


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one contender.

    Attributes:
        bootstrap_servers: address of the broker.
        source: topic to read to its end.
        output: topic to write.
        group: consumer group, and name of the pipeline.
        mode: `sync`, `async` or `dict`, and so on; for the playback pipeline `unfused`, `fused` or
            `all_fused`.
        records: how many the source holds.
    """

    bootstrap_servers: str
    source: str
    output: str
    group: str
    mode: str
    records: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a run cost.

    Attributes:
        wall_seconds: from the first assignment of partitions to the last commit.
        cpu_seconds: user and system time of the process in between.
        start_cpu_seconds: the same before: imports, connecting, joining; not part of the above.
        peak_rss_mb: largest resident memory of the process.
    """

    wall_seconds: float
    cpu_seconds: float
    start_cpu_seconds: float
    peak_rss_mb: float


class Meter:
    """Takes the time at the first assignment and at each commit."""

    def __init__(self) -> None:
        self._started: tuple[float, float] | None = None
        self._ended = (0.0, 0.0)

    def assigned(self) -> None:
        """Begin, unless that has been done."""
        if self._started is None:
            self._started = _now()

    def committed(self) -> None:
        """Take what has passed until now: the last call counts."""
        self._ended = _now()

    def result(self) -> Measurement:
        """What the run cost.

        Raises:
            RuntimeError: nothing was assigned or nothing committed.
        """
        if self._started is None or self._ended < self._started:
            raise RuntimeError("the run was not measured: no assignment or no commit")
        wall, cpu = (end - start for start, end in zip(self._started, self._ended, strict=True))
        return Measurement(wall, cpu, self._started[1], _peak_rss_mb())


def _now() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), usage.ru_utime + usage.ru_stime


def _peak_rss_mb() -> float:
    """Read from Linux's /proc: `ru_maxrss` also counts the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_kb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return peak_kb / 1024


def main(run: Callable[[Job, Meter], Awaitable[None]]) -> None:
    """Run the job that the command line holds, and print what it cost."""
    meter = Meter()
    job = Job(**json.loads(sys.argv[1]))

    async def work() -> None:
        await run(job, meter)

    asyncio.run(work())
    print(json.dumps(dataclasses.asdict(meter.result())))
