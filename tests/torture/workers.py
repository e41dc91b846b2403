"""Workers as operators run them: separate processes, killed, frozen and stopped by signals."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.patience import within
from tests.torture.pipeline import (
    HOLD_VARIABLE,
    NAME_VARIABLE,
    ORDERING_VARIABLE,
    PIPELINE,
    WAIT_VARIABLE,
)

ROOT = Path(__file__).parents[2]

UNREACHABLE = 4
"""Exit code of a worker that cannot reach Kafka: its supervisor is to start it again."""

INSTANCE_VARIABLE = "STREAMAPP_WORKER_INSTANCE_ID"

_END_SECONDS = 60.0
_RESTART_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process.

    Attributes:
        name: its name in reports.
        process: the process.
        output: what it has printed.
    """

    name: str
    process: asyncio.subprocess.Process
    output: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    def said(self) -> str:
        """The last lines that it has printed."""
        return "\n".join(self.output.read_text().splitlines()[-15:])

    def send(self, number: signal.Signals) -> None:
        """Send it a signal.

        Raises:
            AssertionError: it has ended before, by itself.
        """
        if not self.running:
            raise AssertionError(
                f"worker {self.name} ended by itself with {self.process.returncode}: {self.said()}"
            )
        self.process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL, and wait until it has ended."""
        self.send(signal.SIGKILL)
        await self.process.wait()

    async def terminate(self) -> float:
        """SIGTERM; returns how long it took to end, in seconds."""
        began = time.monotonic()
        self.send(signal.SIGTERM)
        await self.ended()
        return time.monotonic() - began

    async def ended(self) -> int:
        """Wait until it has ended, and return its exit code."""
        async with within(_END_SECONDS, "a worker to end"):
            return await self.process.wait()


@dataclass(slots=True)
class Fleet:
    """The workers of a scenario.

    Attributes:
        pipeline: name of the pipeline.
        bootstrap_servers: addresses of the broker for the workers.
        folder: folder for their output.
        mutant: the bug planted into each, if any.
        wait_ms: how long the agent waits, on average.
        target: the pipeline that they run.
        environment: variables for them, beside those that are always set.
        workers: all workers that were ever started.
        supervised: workers that are started again when they end.
    """

    pipeline: str
    bootstrap_servers: str
    folder: Path
    mutant: str | None = None
    wait_ms: float = 5.0
    target: str = PIPELINE
    environment: Mapping[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    supervised: list["Supervised"] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def of(
        cls,
        pipeline: str,
        bootstrap_servers: str,
        folder: Path,
        *,
        mutant: str | None,
        wait_ms: float,
        target: str,
        environment: Mapping[str, str],
    ) -> AsyncIterator["Fleet"]:
        """A fleet without workers; at the end of the block none is left."""
        fleet = cls(pipeline, bootstrap_servers, folder, mutant, wait_ms, target, environment)
        try:
            yield fleet
        finally:
            for supervised in fleet.supervised:
                await supervised.cancel()
            for worker in fleet.running:
                worker.process.kill()
            for worker in fleet.workers:
                await worker.process.wait()

    @property
    def running(self) -> list[Worker]:
        """Workers that have not ended."""
        return [worker for worker in self.workers if worker.running]

    async def start(self, *options: str, instance: str | None = None) -> Worker:
        """Start one more worker; with an instance id it is a static member of its group."""
        return await self.call("run", self.target, "--no-web", *options, instance=instance)

    async def call(self, *command: str, instance: str | None = None) -> Worker:
        """Start a command, which is no worker if it is not `run`."""
        name = f"w{len(self.workers)}"
        output = self.folder / f"{name}.log"
        how = ["tests.torture.mutants", self.mutant] if self.mutant else ["streamapp"]
        servers = ["--bootstrap-servers", self.bootstrap_servers]
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *how,
                *command,
                *servers,
                cwd=ROOT,
                env=self._environment(instance),
                stdout=file,
                stderr=file,
            )
        worker = Worker(name, process, output)
        self.workers.append(worker)
        return worker

    async def supervise(self) -> "Supervised":
        """Start a worker that is started again whenever it ends because it cannot reach Kafka."""
        supervised = Supervised(self, await self.start())
        self.supervised.append(supervised)
        return supervised

    async def stop_all(self) -> list[tuple[Worker, int]]:
        """SIGTERM to all running workers; returns their exit codes."""
        stopped = self.running
        for worker in stopped:
            worker.send(signal.SIGTERM)
        return [(worker, await worker.ended()) for worker in stopped]

    def _environment(self, instance: str | None) -> Mapping[str, str]:
        own = {
            NAME_VARIABLE: self.pipeline,
            WAIT_VARIABLE: str(self.wait_ms),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
            **self.environment,
        }
        if instance is not None:
            own[INSTANCE_VARIABLE] = instance
        if self.mutant == "unordered":
            own[ORDERING_VARIABLE] = "unordered"
        if self.mutant == "no-hold":
            own[HOLD_VARIABLE] = "off"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("STREAMAPP_")}
        return kept | own


class Supervised:
    """A worker and its supervisor: does what systemd or Kubernetes do after exit code 4.

    Args:
        fleet: starts workers.
        first: the first worker.

    Attributes:
        codes: exit codes so far.
    """

    def __init__(self, fleet: Fleet, first: Worker) -> None:
        self._fleet = fleet
        self.codes: list[int] = []
        self._task = asyncio.create_task(self._run(first))

    @property
    def starts(self) -> int:
        """How often it was started."""
        return len(self.codes) + 1

    async def ended(self) -> None:
        """Wait until the supervisor has ended."""
        async with within(_END_SECONDS, "the supervisor to end"):
            await self._task

    async def cancel(self) -> None:
        """Do not start it again."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self, worker: Worker) -> None:
        while True:
            self.codes.append(await worker.process.wait())
            if self.codes[-1] != UNREACHABLE:
                return
            await asyncio.sleep(_RESTART_SECONDS)
            worker = await self._fleet.start()
