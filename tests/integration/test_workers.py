"""`streamapp run --workers` with real processes on a real Kafka: kills, drains, orphans.

What became of every record is checked by tests/verifier, which shares nothing with the runtime.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli import ROOT
from tests.kafka import Kafka
from tests.patience import eventually
from tests.playback import STAGES, Playback, Worker
from tests.prometheus import Prometheus
from tests.verifier.checks import Terms

RECORDS = 60_000
PARTITIONS = 4
STEP = RECORDS // 10
PATIENCE_SECONDS = 60.0

pytestmark = pytest.mark.timeout(600)


class Workers(Worker):
    """A supervisor in a process of its own, and its workers."""

    def processes(self) -> list[psutil.Process]:
        """The workers that run, in the order in which they were started."""
        if not self.running:
            return []
        children = psutil.Process(self.process.pid).children()
        return sorted(children, key=lambda child: child.create_time())

    async def web(self) -> str:
        """Address of the web server of all."""
        await until(lambda: "Metrics  " in self.log())
        line = next(line for line in self.log().splitlines() if line.startswith("Status"))
        return line.split()[1]


@asynccontextmanager
async def workers(playback: Playback, *options: str) -> AsyncIterator[Workers]:
    """Two workers of a pipeline; whoever is left at the end is killed."""
    command = ("-m", "streamapp", "run", "tests.playback:pipeline", "--workers", "2")
    servers = ("--bootstrap-servers", playback.kafka.bootstrap_servers, "--web-port", "0")
    async with playback.process(*command, *servers, *options) as process:
        running = Workers(process.process, process.output)
        started: list[psutil.Process] = []
        try:
            yield running
        finally:
            started += running.processes()
            for worker in started:
                worker.kill()


async def until(
    holds: Callable[[], bool | Awaitable[bool]], *, seconds: float = PATIENCE_SECONDS
) -> None:
    """Wait until it is so; what happens is in other processes."""
    await eventually(holds, seconds=seconds, pause_seconds=0.05)


def gone(processes: Sequence[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


async def status_of(address: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        return response.status


async def test_a_worker_that_is_killed_under_load_comes_back_and_nothing_is_lost(
    kafka: Kafka, tmp_path: Path, prometheus: Prometheus
) -> None:
    async with Playback.on(kafka, tmp_path, partitions=PARTITIONS) as playback:
        events = playback.draw(RECORDS)
        async with workers(playback) as running:
            web = await running.web()
            await playback.joined("validate", 2, running)
            sending = asyncio.create_task(playback.send(events))  # there is more until it is done
            await playback.reach(STEP, running)
            _, victim = running.processes()
            victim.kill()
            at_kill = await playback.progress()
            assert at_kill.lag > 0, "the work was done before the kill"
            await sending

            await prometheus.scrape(int(web.rstrip("/").rpartition(":")[2]))
            await prometheus.eventually(
                "streamapp_worker_restarts_total",
                lambda s: sorted((labels["worker"], n) for labels, n in s) == [("0", 0), ("1", 1)],
            )
            await prometheus.eventually("sum(streamapp_worker_up)", lambda s: s == [({}, 2.0)])
            assert victim not in running.processes()
            await playback.joined("validate", 2, running)
            await playback.drained(running)
            await prometheus.eventually(
                'streamapp_stage_state{state="running"} == 1',
                lambda s: (
                    {(labels["worker"], labels["stage"]) for labels, _ in s}
                    == {(worker, stage) for worker in "01" for stage in STAGES}
                ),
            )
            assert await status_of(f"{web}healthz") == 200
            await running.terminate()
        repeated = (await playback.progress()).uncommitted
        findings = await playback.verify(Terms(max_duplicates=repeated, min_sent=RECORDS))
        assert findings.ok, findings
        assert "worker 1 was killed by SIGKILL, starts again" in running.log()


async def test_a_static_worker_that_is_killed_comes_back_and_the_other_notices_nothing(
    kafka: Kafka, tmp_path: Path
) -> None:
    async with Playback.on(kafka, tmp_path, partitions=PARTITIONS) as playback:
        events = playback.draw(RECORDS)
        async with workers(playback, "--instance-id", "w") as running:
            web = await running.web()
            await playback.joined("validate", 2, running)
            await playback.joined("route", 2, running)
            before = await rebalances_of_worker_0(web)
            sending = asyncio.create_task(playback.send(events))  # there is more until it is done
            await playback.reach(STEP, running)
            running.processes()[1].kill()
            assert (await playback.progress()).lag > 0, "the work was done before the kill"
            await sending
            await until(lambda: "worker 1 is up" in running.log().partition("SIGKILL")[2])
            await playback.drained(running)
            assert await rebalances_of_worker_0(web) == before
            await running.terminate()
        repeated = (await playback.progress()).uncommitted
        findings = await playback.verify(Terms(max_duplicates=repeated, min_sent=RECORDS))
        assert findings.ok, findings


async def rebalances_of_worker_0(web: str) -> dict[str, float]:
    """Assignments of worker 0, by stage; a worker at work may be too busy to answer at once."""
    found: dict[str, float] = {}

    async def is_answered() -> bool:
        async with aiohttp.ClientSession() as session, session.get(f"{web}metrics") as response:
            families = text_string_to_metric_families(await response.text())
        found.update(
            (sample.labels["stage"], sample.value)
            for family in families
            for sample in family.samples
            if sample.name == "streamapp_rebalances_total" and sample.labels["worker"] == "0"
        )
        return bool(found)

    await until(is_answered)
    return found


async def test_bounded_work_is_shared_and_ends_with_zero(kafka: Kafka, tmp_path: Path) -> None:
    async with Playback.on(kafka, tmp_path, partitions=PARTITIONS) as playback:
        await playback.load(RECORDS)
        async with workers(playback, "--until-end") as running:
            await running.ended()
        done = await playback.progress()
        findings = await playback.verify(Terms(min_sent=RECORDS))
        assert done.lag == 0
        assert findings.ok, findings
        for number in (0, 1):
            assert f"worker {number} has reached the end" in running.log()
            assert f"worker {number}: validate: stopped" in running.log()


async def test_all_drain_when_a_service_manager_tells_each_process(
    kafka: Kafka, tmp_path: Path
) -> None:
    async with Playback.on(kafka, tmp_path, partitions=PARTITIONS) as playback:
        events = playback.draw(RECORDS)
        async with workers(playback) as running:
            await playback.joined("validate", 2, running)
            sending = asyncio.create_task(playback.send(events))  # there is more until it is done
            await playback.reach(STEP, running)
            for worker in running.processes():
                worker.terminate()
            await until(lambda: running.log().count("Stopping: finishing") == 2)
            await running.terminate()
            await sending
        left = await playback.progress()
        assert left.lag > 0, "the work was done before the stop"
        assert left.uncommitted == 0, "what was written is not committed: they did not drain"
        async with playback.worker("--until-end") as rest:
            await rest.ended()
        findings = await playback.verify(Terms(min_sent=RECORDS))
        assert findings.ok, findings


async def test_workers_do_not_outlive_a_supervisor_that_is_killed(
    kafka: Kafka, tmp_path: Path
) -> None:
    async with Playback.on(kafka, tmp_path, partitions=PARTITIONS) as playback:
        events = playback.draw(RECORDS)
        async with workers(playback) as running:
            await playback.joined("validate", 2, running)
            sending = asyncio.create_task(playback.send(events))  # there is more until it is done
            await playback.reach(STEP, running)
            orphans = running.processes()
            assert len(orphans) == 2
            await running.kill()
            try:
                await until(lambda: gone(orphans))
            finally:
                for orphan in orphans:
                    if orphan.is_running():
                        orphan.kill()
            await sending
        left = await playback.progress()
        assert left.lag > 0, "the work was done before the kill"
        assert left.uncommitted == 0, "they ended without a drain"
        async with playback.worker("--until-end") as rest:
            await rest.ended()
        findings = await playback.verify(Terms(min_sent=RECORDS))
        assert findings.ok, findings


_BLOCKED = """
import sys, time
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.signals import leave
from streamapp.supervisor.connection import SupervisorConnection

link = SupervisorConnection(
    int(sys.argv[1]), on_overdue=lambda: leave(ExitCode.ABANDONED, "overdue"), overdue_seconds=0.1
)
link.report_up(None)
time.sleep(600)
"""


async def test_a_worker_that_is_blocked_ends_as_well_when_its_supervisor_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with (
        ours,
        subprocess.Popen(  # noqa: ASYNC220, S603 - this interpreter; it returns at once
            [sys.executable, "-c", _BLOCKED, str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.PIPE,
        ) as process,
    ):
        try:
            theirs.close()
            line = await asyncio.to_thread(ours.recv, 100)
            assert line == b'{"web_port":null}\n'
            assert process.poll() is None
            ours.shutdown(socket.SHUT_RDWR)
            _, stderr = await asyncio.to_thread(process.communicate, timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 8
    assert stderr == b"streamapp: overdue\n"
