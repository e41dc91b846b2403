"""Runs in turns on one broker: topics, processes, checks."""

import asyncio
import json
import os
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import asdict
from tempfile import TemporaryDirectory

from benchmarks import check, load
from benchmarks.child import FailedRunError
from benchmarks.contenders import ROOT, Contender
from benchmarks.measure import Job, Measurement
from benchmarks.report import Run
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin, TopicSpec
from streamapp.settings import KafkaSettings

RUN_DEADLINE_SECONDS = 600
STDERR_LINES = 20


class WrongOutputError(Exception):
    """A run of this project or of a hand-written loop left behind what it must not."""


class Bench:
    """A broker with filled source topics, and the runs on it."""

    def __init__(self, bootstrap_servers: str, admin: Admin, records: int) -> None:
        self._servers = bootstrap_servers
        self._admin = admin
        self._records = records
        self._runs = 0

    async def fill(self, contenders: Collection[Contender]) -> None:
        """Fill the source topics of these contenders."""
        sources = {one.source(self._records): one for one in contenders}
        for name, contender in sources.items():
            await self._create([name], contender.partitions)
            records = contender.records(self._records)
            if contender.is_playback:
                filling = load.playback_events(records)
            else:
                filling = load.purchases(records, keys=contender.keys)
            await load.fill(self._servers, name, filling, contender.partitions)

    async def run(self, contender: Contender) -> Run:
        """Run a contender once, with a group and topics of its own, and look at its outputs."""
        self._runs += 1
        run_id = f"run-{self._runs}"
        records = contender.records(self._records)
        source = contender.source(self._records)
        job = Job(self._servers, source, f"{run_id}.out", run_id, contender.mode, records)
        await self._create(contender.topics(job), contender.partitions)
        cost = await asyncio.to_thread(run_child, contender, job)
        findings = await self._check(contender, job)
        if str(findings) and not contender.is_peer:
            raise WrongOutputError(f"{contender.name}: {findings}")
        await self._admin.delete_topics(contender.topics(job))
        return Run(contender.name, contender.beside, records, cost, findings)

    async def _create(self, names: Sequence[str], partitions: int) -> None:
        await self._admin.create_topics([TopicSpec(name, partitions) for name in names])

    async def _check(self, contender: Contender, job: Job) -> check.Findings:
        servers, partitions = self._servers, contender.partitions
        if contender.is_playback:
            ends = (".playback.scored", ".dlq")
            final = [name for name in contender.topics(job) if name.endswith(ends)]
            written = await check.count(servers, final, partitions)
            findings = check.Findings(
                lost=max(0, job.records - written), repeated=max(0, written - job.records)
            )
        else:
            findings = await check.check_purchases(servers, job.output, job.records, partitions)
        group = contender.group_of_first_stage(job)
        findings.uncommitted = await check.count_uncommitted(servers, group, job.source, partitions)
        return findings


def run_child(contender: Contender, job: Job) -> Measurement:
    """Run a contender in a process of its own."""
    module = f"benchmarks.{contender.module}"
    with TemporaryDirectory(prefix="streamapp-benchmark-") as folder:  # some peers keep state
        done = subprocess.run(  # noqa: S603 - our own scripts
            [contender.python, "-m", module, json.dumps(asdict(job))],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **contender.variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_DEADLINE_SECONDS,
        )
    if done.returncode:
        said = "\n".join(done.stderr.splitlines()[-STDERR_LINES:])
        raise FailedRunError(f"{contender.name} ended with {done.returncode}:\n{said}")
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


async def run_all(
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
