"""Run the contenders side by side on a real Kafka, and print and write what they cost.

`python -m benchmarks.run [--records N] [--runs N] [--only NAME ...]`
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import check, load
from benchmarks.measure import PARTITIONS, Job, Measurement
from benchmarks.report import Run, print_table, summary
from streamapp.brokers.dev.broker import DevBroker
from streamapp.brokers.dev.config import BrokerOptions
from streamapp.brokers.dev.watchdog import Watchdog
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin, TopicSpec
from streamapp.settings import KafkaSettings

RUN_DEADLINE_SECONDS = 600
LATEST = Path(__file__).parent / "latest.json"


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a comparison.

    Attributes:
        name: as it stands in the table.
        beside: name of what it is compared with; `None` for the yardstick itself.
        module: the script that runs it.
        mode: what the script is told.
    """

    name: str
    beside: str | None
    module: str
    mode: str

    @property
    def is_playback(self) -> bool:
        """Whether it reads playback events, not purchases."""
        return self.module == "playback_pipeline"

    def group_of_first_stage(self, job: Job) -> str:
        """Name of the group that reads the source."""
        stage = {"hand_loop": "", "streamapp_stage": ".price", "playback_pipeline": ".validate"}
        return job.group + stage[self.module]

    def topics(self, job: Job) -> list[str]:
        """Names of the topics that it writes to."""
        if not self.is_playback:
            return [job.output, f"{job.output}.dlq"]
        stages = ("validate", "enrich", "score", "route")
        names = [f"playback-quality.{stage}{end}" for stage in stages for end in ("", ".dlq")]
        names += ["playback.scored", "playback.alerts"]
        return [f"{job.output}.{name}" for name in names]


CONTENDERS = (
    Contender("hand_loop.aiokafka", None, "hand_loop", "sync"),
    Contender("streamapp.sync", "hand_loop.aiokafka", "streamapp_stage", "sync"),
    Contender("hand_loop.async", None, "hand_loop", "async"),
    Contender("streamapp.async", "hand_loop.async", "streamapp_stage", "async"),
    Contender("hand_loop.dict", None, "hand_loop", "dict"),
    Contender("streamapp.dict", "hand_loop.dict", "streamapp_stage", "dict"),
    Contender("playback.unfused", None, "playback_pipeline", "unfused"),
    Contender("playback.fused", "playback.unfused", "playback_pipeline", "fused"),
)


class Bench:
    """A broker with filled source topics, and the runs on it."""

    def __init__(self, bootstrap_servers: str, admin: Admin, records: int) -> None:
        self._servers = bootstrap_servers
        self._admin = admin
        self._records = records
        self._runs = 0

    async def fill(self, contenders: Collection[Contender]) -> None:
        """Fill the source topics of these contenders."""
        if any(not one.is_playback for one in contenders):
            await self._create(["source.purchases"])
            await load.fill(self._servers, "source.purchases", load.purchases(self._records))
        if any(one.is_playback for one in contenders):
            await self._create(["source.playback"])
            events = load.playback_events(self._records // 2)
            await load.fill(self._servers, "source.playback", events)

    async def run(self, contender: Contender) -> Run:
        """Run a contender once, with a group and topics of its own, and check its outputs."""
        self._runs += 1
        run_id = f"run-{self._runs}"
        if contender.is_playback:
            source, records = "source.playback", self._records // 2
        else:
            source, records = "source.purchases", self._records
        job = Job(self._servers, source, f"{run_id}.out", run_id, contender.mode, records)
        await self._create(contender.topics(job))
        measurement = await asyncio.to_thread(_run_child, contender, job)
        await self._check(contender, job)
        await self._admin.delete_topics(contender.topics(job))
        return Run(contender.name, contender.beside, records, measurement)

    async def _create(self, names: Sequence[str]) -> None:
        await self._admin.create_topics([TopicSpec(name, PARTITIONS) for name in names])

    async def _check(self, contender: Contender, job: Job) -> None:
        await check.check_committed(self._servers, contender.group_of_first_stage(job), job.source)
        if not contender.is_playback:
            await check.check_purchases(self._servers, job.output, job.records)
            return
        ends = (".playback.scored", ".dlq")
        final = [name for name in contender.topics(job) if name.endswith(ends)]
        found = await check.count(self._servers, final)
        if found != job.records:
            raise check.WrongOutputError(
                f"{job.group}: {found} scored events and dead letters of {job.records} events"
            )


def _run_child(contender: Contender, job: Job) -> Measurement:
    done = subprocess.run(  # noqa: S603 - our own scripts
        [sys.executable, "-m", f"benchmarks.{contender.module}", json.dumps(asdict(job))],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=RUN_DEADLINE_SECONDS,
    )
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


async def _run_all(
    servers: str, contenders: Sequence[Contender], records: int, rounds: int
) -> list[Run]:
    """Take turns, A B A B, after one round to warm up whose figures are thrown away."""
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=servers)).admin()
    await admin.start()
    try:
        bench = Bench(servers, admin, records)
        await bench.fill(contenders)
        runs: list[Run] = []
        for round_number in range(rounds + 1):
            for contender in contenders:
                run = await bench.run(contender)
                label = f"run {round_number} of {rounds}" if round_number else "warm-up"
                print(f"{label:>12}  {run}", flush=True)
                if round_number:
                    runs.append(run)
    finally:
        await admin.stop()
    return runs


def _machine() -> dict[str, object]:
    packages = ("aiokafka", "pydantic", "pydantic-core", "orjson")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000, help="playback takes half of them")
    parser.add_argument("--runs", type=int, default=3, help="after one to warm up")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[one.name for one in CONTENDERS],
        default=[],
        help="these, and what they are compared with; then nothing is written",
    )
    return parser.parse_args()


def _chosen(only: Collection[str]) -> list[Contender]:
    if not only:
        return list(CONTENDERS)
    needed = {*only, *(one.beside for one in CONTENDERS if one.name in only)}
    return [one for one in CONTENDERS if one.name in needed]


def main() -> None:
    arguments = _arguments()
    machine = _machine()
    with tempfile.TemporaryDirectory(prefix="streamapp-bench-") as folder:
        broker = DevBroker(Path(folder) / "kafka", BrokerOptions(heap_mb=1024), report=print)
        guard = Watchdog(broker.folder)
        try:
            servers = broker.up().status.state.bootstrap_servers
            contenders = _chosen(arguments.only)
            runs = asyncio.run(_run_all(servers, contenders, arguments.records, arguments.runs))
        finally:
            broker.down()
            guard.dismiss()
    peers = summary(runs)
    print_table(peers)
    if not arguments.only:
        settings = {"records": arguments.records, "runs": arguments.runs, "keys": load.KEYS}
        raw = [run.as_json() for run in runs]
        latest = {"machine": machine, "settings": settings, "peers": peers, "runs": raw}
        LATEST.write_text(json.dumps(latest, indent=2) + "\n")


if __name__ == "__main__":
    main()
