"""The playback pipeline under names of a test's own, its load and its workers."""

import asyncio
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin
from streamapp.examples.playback import pipeline as example
from streamapp.examples.playback.generator import (
    EVENT_ID_HEADER,
    EXPECTED_DEAD_LETTERS,
    PlaybackGenerator,
    Shares,
)
from streamapp.pipeline.pipeline import Pipeline
from streamapp.record import TopicPartition
from streamapp.settings import KafkaSettings
from streamapp.topics.topic import Topic
from tests.kafka import Kafka, unique_name
from tests.patience import within
from tests.verifier.__main__ import verify_topics
from tests.verifier.checks import Findings, Terms
from tests.verifier.ledger import read_ledger

NAME_VARIABLE = "PLAYBACK_TEST_NAME"
STAGES = ("validate", "enrich", "score", "route")
ROOT = Path(__file__).parents[1]

_BATCH_BYTES = 256 * 1024
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 180.0


def pipeline() -> Pipeline[Any, Any]:
    """Give the example another name, and topics after it: for `streamapp run` in a child."""
    name = os.environ[NAME_VARIABLE]
    renamed: Pipeline[Any, Any] = Pipeline(name, source=_renamed(example.SOURCE, name))
    declarations = tuple(
        replace(
            declared,
            output=declared.output and _renamed(declared.output, name),
            routes={route: _renamed(topic, name) for route, topic in declared.routes.items()},
        )
        for declared in example.pipeline.declarations
    )
    return renamed._with(declarations)


def _renamed(topic: Topic[Any], name: str) -> Topic[Any]:
    return Topic(f"{name}.{topic.name.rpartition('.')[2]}", topic.schema)


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the stages, in records summed over partitions.

    Attributes:
        committed: inputs by stage, as its group has committed.
        inputs: end of the source topic by stage.
        written: outputs and dead letters by stage; alerts, which come beside an output, left out.
    """

    committed: Mapping[str, int]
    inputs: Mapping[str, int]
    written: Mapping[str, int]

    @property
    def lag(self) -> int:
        """Inputs of all stages that are not committed."""
        return sum(self.inputs.values()) - sum(self.committed.values())

    @property
    def uncommitted(self) -> int:
        """Records written, over all runs, by inputs that were not committed after it.

        Every input gives one record. What a stage has written and not committed when it is
        killed, it writes once more; the next stage takes both. So at the last kill this is the
        number of repeated records that the kills cause in all, to the record.
        """
        return sum(self.written.values()) - sum(self.committed.values())


@dataclass(frozen=True, slots=True)
class Playback:
    """A pipeline on a real Kafka.

    Attributes:
        kafka: the broker.
        name: of the pipeline.
        folder: for the ledger and the workers' output.
        partitions: of all topics but those of dead letters.
    """

    kafka: Kafka
    name: str
    folder: Path
    partitions: int
    _admin: Admin

    @classmethod
    @asynccontextmanager
    async def on(cls, kafka: Kafka, folder: Path, *, partitions: int) -> AsyncIterator["Playback"]:
        """Create the topics, and look at them in the block."""
        admin = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)).admin()
        playback = cls(kafka, unique_name("playback"), folder, partitions, admin)
        keyed = ("raw", "validate", "enrich", "score", "scored", "alerts")
        names = {f"{playback.name}.{topic}": partitions for topic in keyed}
        await kafka.create_topics(names | dict.fromkeys(playback.dead_letters.values(), 1))
        await admin.start()
        try:
            yield playback
        finally:
            await admin.stop()

    @property
    def dead_letters(self) -> Mapping[str, str]:
        """Dead-letter topics by stage."""
        return {stage: f"{self.name}.{stage}.dlq" for stage in STAGES}

    @property
    def ledger(self) -> Path:
        """What was sent."""
        return self.folder / "ledger.jsonl"

    async def load(self, records: int, *, seed: int = 1) -> None:
        """Draw events and send them."""
        await self.send(self.draw(records, seed=seed))

    def draw(self, records: int, *, seed: int = 1) -> Mapping[int, list[Any]]:
        """Events, none of them twice, by partition; drawing takes longer than sending.

        Without duplicates every id is unique: a lost event cannot hide behind its twin.
        """
        generator = PlaybackGenerator(seed, sessions=500, shares=Shares(duplicate=0))
        rows: dict[int, list[Any]] = defaultdict(list)
        for event in generator.take(records, int(time.time() * 1000)):
            rows[crc32(event[0]) % self.partitions].append(event)
        return rows

    async def send_little_by_little(self, rows: Mapping[int, list[Any]], times: int) -> None:
        """Send what was drawn in so many parts, each by a producer of its own, which takes time."""
        for part in range(times):
            bounds = {
                n: (len(own) * part // times, len(own) * (part + 1) // times)
                for n, own in rows.items()
            }
            await self.send({n: rows[n][first:last] for n, (first, last) in bounds.items()})

    async def send(self, rows: Mapping[int, list[Any]]) -> None:
        """Send what was drawn, and note each event that is acknowledged."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka.bootstrap_servers,
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
        )
        await producer.start()
        try:
            with self.ledger.open("a") as ledger:
                for partition, events in rows.items():
                    await self._send(producer, partition, events, ledger)
        finally:
            await producer.stop()

    async def _send(self, producer: Any, partition: int, events: list[Any], ledger: Any) -> None:
        left = iter(events)
        event = next(left, None)
        while event is not None:
            batch, sent = producer.create_batch(), []
            while event is not None and batch.append(
                key=event[0],
                value=event[1],
                timestamp=event[2],
                headers=[(EVENT_ID_HEADER, event[4])],
            ):
                sent.append(event)
                event = next(left, None)
            acknowledged = await producer.send_batch(batch, f"{self.name}.raw", partition=partition)
            await acknowledged
            for key, _, _, kind, event_id in sent:
                line = {
                    "event_id": event_id.decode(),
                    "key": key.decode(),
                    "status": "acknowledged",
                    "expected": "scored",
                }
                if kind in EXPECTED_DEAD_LETTERS:
                    stage, reason = EXPECTED_DEAD_LETTERS[kind]
                    line |= {"expected": "dead_letter", "stage": stage, "reason": reason}
                ledger.write(json.dumps(line) + "\n")

    async def progress(self) -> Progress:
        """Ask the broker how far all is."""
        committed = {}
        for stage in STAGES:
            offsets = await self._admin.committed_offsets(f"{self.name}.{stage}")
            committed[stage] = sum(entry.offset for entry in offsets.values())
        topics = [
            [TopicPartition(f"{self.name}.{topic}", number) for number in range(count)]
            for topic, count in self._counted()
        ]
        offset_of = await self._admin.end_offsets([name for names in topics for name in names])
        ends = [sum(offset_of[name] for name in names) for names in topics]
        outputs, dead_letters = ends[: len(STAGES) + 1], ends[len(STAGES) + 1 :]
        written = [sum(pair) for pair in zip(outputs[1:], dead_letters, strict=True)]
        return Progress(
            committed,
            dict(zip(STAGES, outputs[:-1], strict=True)),
            dict(zip(STAGES, written, strict=True)),
        )

    def _counted(self) -> list[tuple[str, int]]:
        chain = ("raw", *STAGES[:-1], "scored")
        return [(topic, self.partitions) for topic in chain] + [
            (f"{stage}.dlq", 1) for stage in STAGES
        ]

    async def settled(self) -> Progress:
        """Progress once the broker has worked off what a killed worker had sent to it."""
        before = await self.progress()
        while True:
            await asyncio.sleep(0.5)
            now = await self.progress()
            if now == before:
                return now
            before = now

    async def reach(self, committed: int, *workers: "Worker") -> Progress:
        """Wait until the last stage has committed so many inputs, while these workers run."""
        seen: list[Progress] = []
        what = f"{committed} inputs of {STAGES[-1]} to be committed"
        async with within(_PATIENCE_SECONDS, what, lambda: seen[-1:]):
            while True:
                progress = await self.progress()
                seen.append(progress)
                if progress.committed[STAGES[-1]] >= committed:
                    return progress
                for worker in workers:
                    assert worker.running, worker.log()
                await asyncio.sleep(_POLL_SECONDS)

    async def drained(self, *workers: "Worker") -> Progress:
        """Wait until nothing is left, while these workers run."""
        seen: list[Progress] = []
        async with within(_PATIENCE_SECONDS, "everything to be worked on", lambda: seen[-1:]):
            while (progress := await self.progress()).lag:
                seen.append(progress)
                for worker in workers:
                    assert worker.running, worker.log()
                await asyncio.sleep(_POLL_SECONDS)
        return progress

    async def members(self, stage: str) -> int:
        """How many workers run a stage, with partitions given to all; 0 in a rebalance."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([f"{self.name}.{stage}"])
        except GroupCoordinatorNotAvailableError:  # the first group of a broker waits for it
            return 0
        finally:
            await admin.close()
        (_, _, state, _, _, members, *_) = answer.groups[0]
        return len(members) if state == "Stable" else 0

    async def joined(self, stage: str, members: int, *workers: "Worker") -> Progress:
        """Wait until this number of workers run a stage; returns the progress at that time."""
        async with within(_PATIENCE_SECONDS, f"{members} members of {stage}"):
            while await self.members(stage) != members:
                for worker in workers:
                    assert worker.running, worker.log()
                await asyncio.sleep(_POLL_SECONDS)
        return await self.progress()

    async def verify(self, terms: Terms) -> Findings:
        """Compare the topics with the ledger."""
        return await verify_topics(
            self.kafka.bootstrap_servers,
            read_ledger(self.ledger),
            terms,
            sink=f"{self.name}.scored",
            alerts=f"{self.name}.alerts",
            dead_letters=list(self.dead_letters.values()),
        )

    @asynccontextmanager
    async def worker(self, *options: str) -> AsyncIterator["Worker"]:
        """`streamapp run` in a process of its own; dead at the end of the block."""
        command = ("-m", "streamapp", "run", "tests.playback:pipeline", "--no-web")
        servers = ("--bootstrap-servers", self.kafka.bootstrap_servers)
        async with self.process(*command, *servers, *options) as worker:
            yield worker

    @asynccontextmanager
    async def process(self, *arguments: str) -> AsyncIterator["Worker"]:
        """Python with these arguments; dead at the end of the block."""
        log = self.folder / f"worker-{len(list(self.folder.glob('worker-*')))}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=ROOT,
                env={**os.environ, NAME_VARIABLE: self.name},
                stdout=output,
                stderr=output,
            )
        worker = Worker(process, log)
        try:
            yield worker
        finally:
            if worker.running:
                process.kill()
            await process.wait()


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker in a process of its own."""

    process: asyncio.subprocess.Process
    output: Path

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def log(self) -> str:
        return self.output.read_text()

    async def kill(self) -> None:
        """SIGKILL; it must not have ended by itself."""
        assert self.running, self.log()
        self.process.kill()
        assert await self.process.wait() == -signal.SIGKILL

    async def terminate(self) -> None:
        """SIGTERM; it has to end well."""
        assert self.running, self.log()
        self.process.terminate()
        await self.ended()

    async def ended(self) -> None:
        """Wait until it has ended, well."""
        async with within(_PATIENCE_SECONDS, "the worker to end", self.log):
            assert await self.process.wait() == 0, self.log()
