"""A million records through all four stages on a real Kafka, then every one accounted for.

    python -m benchmarks.million [--records N] [--folder DIR]

It uses what a user would: `streamapp broker`, `topics apply`, `generate --ledger`,
`run --until-end`; then tests/verifier, which shares no code with them. Prints the tables of
docs/verification.md and exits with the verifier's code.
"""

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin
from streamapp.local_kafka.broker import DevBroker
from streamapp.local_kafka.config import BrokerOptions
from streamapp.local_kafka.jars import KAFKA_VERSION
from streamapp.record import TopicPartition
from streamapp.settings import KafkaSettings
from tests.verifier.__main__ import report, verify_topics
from tests.verifier.checks import Findings, Terms
from tests.verifier.ledger import read_ledger

RECORDS = 1_000_000
HEAP_MB = 1024
PIPELINE = "streamapp.examples.playback.pipeline:pipeline"
GROUPS = tuple(f"playback-quality.{stage}" for stage in ("validate", "enrich", "score", "route"))
POLL_SECONDS = 0.5


@dataclass(slots=True)
class Stage:
    """When a stage's group committed its first and its last offsets, in seconds of the run."""

    first: float | None = None
    last: float = 0.0
    committed: int = 0

    def note(self, seconds: float, committed: int) -> None:
        """Take note of what was committed by then."""
        if committed > self.committed:
            self.first = seconds if self.first is None else self.first
            self.last, self.committed = seconds, committed


@dataclass(slots=True)
class Run:
    """What a run of the worker took: the process from its start to its exit."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_rss_mib: float = 0.0
    stages: dict[str, Stage] = field(default_factory=lambda: {group: Stage() for group in GROUPS})


def streamapp(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "streamapp", *arguments])  # noqa: S603 - ours


def call(*arguments: str) -> float:
    """Run a command to its end; how many seconds it took."""
    started = time.monotonic()
    if code := streamapp(*arguments).wait():
        raise SystemExit(code)
    return time.monotonic() - started


async def run_worker(servers: str) -> Run:
    run = Run()
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=servers)).admin()
    await admin.start()
    started = time.monotonic()
    worker = streamapp("run", PIPELINE, "--until-end", "--no-web", "--bootstrap-servers", servers)
    watch = asyncio.create_task(watch_commits(admin, run, started))
    try:
        # wait4 returns the resources of this child; asyncio does not wait for it.
        _, status, used = await asyncio.to_thread(os.wait4, worker.pid, 0)
        worker.returncode = os.waitstatus_to_exitcode(status)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await admin.stop()
    if worker.returncode:
        raise SystemExit(worker.returncode)
    run.seconds = time.monotonic() - started
    run.cpu_seconds = used.ru_utime + used.ru_stime
    run.peak_rss_mib = used.ru_maxrss / 1024
    return run


async def watch_commits(admin: Admin, run: Run, started: float) -> None:
    while True:
        for group, stage in run.stages.items():
            offsets = await admin.committed_offsets(group)
            stage.note(time.monotonic() - started, sum(one.offset for one in offsets.values()))
        await asyncio.sleep(POLL_SECONDS)


async def inputs(servers: str) -> list[int]:
    """End of each stage's source topic, summed over partitions."""
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=servers)).admin()
    await admin.start()
    try:
        topics = ("playback.raw", *GROUPS[:-1])
        found = await admin.describe_topics(topics)
        return [
            sum(
                (
                    await admin.end_offsets(
                        [TopicPartition(name, n) for n in range(found[name].partitions)]
                    )
                ).values()
            )
            for name in topics
        ]
    finally:
        await admin.stop()


def facts() -> Iterable[str]:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = f"Python {platform.python_version()}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiokafka", "pydantic", "orjson"))
    yield f"{datetime.now(UTC):%Y-%m-%d}; {os.cpu_count()} cores, {memory_gib:.0f} GiB; {python},"
    yield f"{packages}, Apache Kafka {KAFKA_VERSION} (one node, {HEAP_MB} MiB heap)"


def tables(generating: float, run: Run, sizes: Sequence[int], findings: Findings) -> Iterable[str]:
    yield ""
    yield "| | records | seconds | records/s |"
    yield "|---|---:|---:|---:|"
    yield row("generate, with the ledger", findings.sent, generating)
    for (group, stage), size in zip(run.stages.items(), sizes, strict=True):
        yield row(group.rpartition(".")[2], size, stage.last - (stage.first or 0.0))
    yield row("end to end, start and exit of the worker included", findings.sent, run.seconds)
    yield ""
    yield "| worker | |"
    yield "|---|---:|"
    yield f"| peak resident memory | {run.peak_rss_mib:,.0f} MiB |"
    yield f"| processor time | {run.cpu_seconds:,.1f} s |"
    yield f"| the same for each record sent | {run.cpu_seconds / findings.sent * 1e6:,.0f} µs |"
    yield ""
    yield "```"
    yield from report(findings)
    yield "```"


def row(name: str, records: int, seconds: float) -> str:
    return f"| {name} | {records:,} | {seconds:,.1f} | {records / max(seconds, 1e-9):,.0f} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--folder", type=Path, help="for the broker and the ledger")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamapp-million-", dir=args.folder) as name:
        broker = DevBroker(Path(name) / "broker", BrokerOptions(heap_mb=HEAP_MB))
        try:
            state = broker.up().status.state
            return measure(state.bootstrap_servers, Path(name) / "ledger.jsonl", args.records)
        finally:
            broker.down()


def measure(servers: str, ledger: Path, records: int) -> int:
    at = ("--bootstrap-servers", servers)
    call("topics", "apply", *at)
    generating = call("generate", "--records", str(records), "--ledger", str(ledger), *at)
    run = asyncio.run(run_worker(servers))
    sizes = asyncio.run(inputs(servers))
    findings = asyncio.run(verify_topics(servers, read_ledger(ledger), Terms(min_sent=records)))
    for line in (*facts(), *tables(generating, run, sizes, findings)):
        print(line)
    return 0 if findings.ok else 1


if __name__ == "__main__":
    sys.exit(main())
