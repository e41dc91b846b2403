"""The stand of the drill: a broker, a pipeline with two workers, and a feed that never stops."""

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from streamapp.beside import beside
from tests.cli import RunningCommand, running, streamapp
from tests.drill.pipeline import PIPELINE
from tests.kafka import Kafka

PARTITIONS = 4
STEP_SECONDS = 0.1


@dataclass
class Feed:
    """What the producer writes: so many records a second, with these keys and timestamps."""

    per_second: int = 60
    keys: int = 1000
    partition: int | None = None
    ahead_ms: int = 0


@dataclass
class Stand:
    """A pipeline under drill.

    Attributes:
        kafka: its broker.
        folder: where its files are.
        feed: what is written to its source.
        url: where the page of the workers is that were started last.
        scrape: has Prometheus scrape these ports and nothing else.
        runs: the supervisors that run, the first one first.
    """

    kafka: Kafka
    folder: Path
    feed: Feed = field(default_factory=Feed)
    url: str = ""
    scrape: Callable[..., None] = lambda *_ports: None
    runs: list[tuple[RunningCommand, ExitStack]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        return {"STREAMAPP_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers}

    def prepare(self) -> None:
        """Write its files and create its topics."""
        (self.folder / "drilled.py").write_text(PIPELINE)
        self.mode()
        self.succeed("topics", "apply", "drilled:pipeline", "--partitions", str(PARTITIONS))

    async def take_any_time(self) -> None:
        """Have Kafka take records that are dated ahead, as topics from before Kafka 4 do."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        limit = {"message.timestamp.after.max.ms": str(2**63 - 1)}
        names = ("drill.in", "drill.out", "drill.work.dlq")
        topics = [ConfigResource(ConfigResourceType.TOPIC, name, limit) for name in names]
        try:
            await admin.alter_configs(topics)
        finally:
            await admin.close()

    def mode(self, **what: float) -> None:
        """Have the agent do this from the next record on."""
        fresh = self.folder / "mode.new"
        fresh.write_text(json.dumps(what))
        fresh.replace(self.folder / "mode.json")

    def succeed(self, *args: str) -> str:
        """Run a command that ends well."""
        done = streamapp(*args, cwd=self.folder, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, workers: int = 2) -> None:
        """Start the workers, with a page of their own, beside those that run already."""
        run = ("run", "drilled:pipeline", "--workers", str(workers), "--web-port", "0")
        folder = self.folder / f"run-{time.monotonic_ns()}"
        stack = ExitStack()
        command = stack.enter_context(running(*run, folder=folder, cwd=self.folder, env=self.env))
        self.url = command.wait_for("Status ").split()[-1]
        self.runs.append((command, stack))

    def stop(self) -> None:
        """End the workers that were started first, and wait for them."""
        command, stack = self.runs.pop(0)
        with stack:
            command.send(signal.SIGTERM)
            with suppress(Exception):
                command.exit_code()

    @property
    def workers(self) -> list[int]:
        """The processes of the workers that were started last."""
        return children(self.runs[-1][0].pid)

    @property
    def port(self) -> int:
        """Where their page is."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    async def reset_positions(self, back: int) -> None:
        """Move the positions of the group back, as nobody may while it has members."""
        names = [TopicPartition("drill.in", number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap_servers,
            group_id="drill.work",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            consumer.assign(names)
            now = {name: await consumer.committed(name) or 0 for name in names}
            await consumer.commit({name: max(0, now[name] - back) for name in names})
        finally:
            await consumer.stop()

    def status(self) -> dict[str, Any]:
        """What `/status` says; nothing if nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}status", timeout=5) as answer:  # noqa: S310 - on this machine
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except OSError:
            return {}

    def causes(self) -> set[str]:
        """All that is wrong now, with workers and stages."""
        return self.causes_in(self.status())

    @staticmethod
    def causes_in(status: dict[str, Any]) -> set[str]:
        """All that is wrong by what `/status` has said."""
        stages = [one for stage in status.get("stages", ()) for one in stage["findings"]]
        return {one["cause"] for one in (*status.get("findings", ()), *stages)}

    @asynccontextmanager
    async def fed(self) -> AsyncIterator[None]:
        """Write records while the block runs."""
        async with beside(self._write()):
            yield

    async def _write(self) -> None:
        number = 0
        async with AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap_servers) as producer:
            while True:
                for _ in range(int(self.feed.per_second * STEP_SECONDS)):
                    number += 1
                    stamp = int(time.time() * 1000) + self.feed.ahead_ms
                    with suppress(KafkaError, asyncio.TimeoutError):
                        async with asyncio.timeout(2):
                            await producer.send(
                                "drill.in",
                                b'{"n": %d}' % number,
                                key=b"%d" % (number % self.feed.keys),
                                partition=self.feed.partition,
                                timestamp_ms=stamp,
                            )
                await asyncio.sleep(STEP_SECONDS)


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in path.read_text().split()]


def stop_and_go(pid: int, *, stop: bool) -> None:
    """Freeze a process, or let it go on."""
    os.kill(pid, signal.SIGSTOP if stop else signal.SIGCONT)
