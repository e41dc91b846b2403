"""A pipeline under test: its topics, feeder, workers and observers."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.kafka import Kafka, unique_name
from tests.torture.feeder import Feeder
from tests.torture.nodes import Nodes
from tests.torture.outcome import Outcome
from tests.torture.pipeline import PIPELINE, STAGE
from tests.torture.proxy import Proxies
from tests.torture.verdict import Seen, judge, read
from tests.torture.watch import TooSlowError, Watch
from tests.torture.workers import UNREACHABLE, Fleet

KEYS = 400
_DRAIN_SECONDS = 180.0


def now_ms() -> int:
    """The time now, in the unit of record timestamps."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Ground:
    """The broker on which a scenario is run.

    Attributes:
        kafka: the broker, without proxies.
        nodes: its nodes.
        proxies: the proxies through which workers may be sent.
        folder: a folder for files of the scenario.
    """

    kafka: Kafka
    nodes: Nodes
    proxies: Proxies
    folder: Path


@dataclass(frozen=True, slots=True)
class Stand:
    """Everything that a scenario works with.

    Attributes:
        kafka: the broker, without proxies.
        name: name of the pipeline.
        partitions: number of partitions of source and sink.
        feeder: writes to the source.
        fleet: the workers.
        watch: measures their progress.
        outcome: what is found.
    """

    kafka: Kafka
    name: str
    partitions: int
    feeder: Feeder
    fleet: Fleet
    watch: Watch
    outcome: Outcome

    @classmethod
    @asynccontextmanager
    async def on(
        cls,
        ground: Ground,
        outcome: Outcome,
        *,
        partitions: int,
        wait_ms: float,
        through_proxies: bool = False,
        target: str = PIPELINE,
        environment: Mapping[str, str] = MappingProxyType({}),
        further: Collection[str] = (),
    ) -> AsyncIterator["Stand"]:
        """Create the topics; at the end of the block all its processes have ended.

        Args:
            ground: the broker on which it runs.
            outcome: filled in.
            partitions: number of partitions of source and sink.
            wait_ms: how long the agent waits with each record, on average.
            through_proxies: whether the workers reach the broker through proxies only.
            target: the pipeline that they run.
            environment: further variables for them.
            further: last words of the names of further topics.
        """
        name = unique_name(outcome.scenario)
        kafka, folder = ground.kafka, ground.folder / name
        folder.mkdir(parents=True)
        # Time stamps by the broker: one clock tells when each output came.
        await kafka.create_topics(
            {f"{name}.{end}": partitions for end in ("in", "out", *further)}
            | {f"{name}.{STAGE}.dlq": 1},
            replication_factor=len(ground.nodes.ids()),
            config={"message.timestamp.type": "LogAppendTime"},
        )
        servers = kafka.bootstrap_servers
        watch = Watch(servers, f"{name}.{STAGE}", f"{name}.in", f"{name}.out", partitions)
        async with (
            Feeder.on(servers, f"{name}.in", keys=KEYS) as feeder,
            Fleet.of(
                name,
                ground.proxies.servers if through_proxies else servers,
                folder,
                mutant=outcome.mutant,
                wait_ms=wait_ms,
                target=target,
                environment=environment,
            ) as fleet,
        ):
            stand = cls(kafka, name, partitions, feeder, fleet, watch, outcome)
            try:
                yield stand
            except TooSlowError:
                await stand._count_all_the_same(ground)
                raise

    async def unfinished(self) -> int:
        """Records that are not committed when a fault happens; there have to be some."""
        lag = await self.watch.lag()
        self.outcome.check(lag > 0, "the work was done before the fault")
        return lag

    async def settled(self) -> int:
        """Records in the sink once the broker has written all that killed workers had sent."""
        before = await self.watch.written()
        while True:
            await asyncio.sleep(0.5)
            now = await self.watch.written()
            if now == before:
                return now
            before = now

    async def finish(self, *, seconds: float = _DRAIN_SECONDS) -> None:
        """Let the workers drain the source, then stop them; each has to end with code 0."""
        await self.feeder.stop()
        try:
            await self.watch.until_drained(seconds=seconds)
        except TooSlowError as error:
            self.outcome.check(False, str(error))  # noqa: FBT003 - it does not hold
        for worker, code in await self.fleet.stop_all():
            self.outcome.check(code == 0, f"worker {worker.name} ended with {code}")

    async def verify(self, *, min_records: int, max_duplicates: int) -> list[Seen]:
        """Read the topics with a plain client, check them, and return the outputs."""
        servers = self.kafka.bootstrap_servers
        source = await read(servers, self.watch.source)
        outputs = await read(servers, self.watch.sink)
        letters = await read(servers, f"{self.name}.{STAGE}.dlq")
        feeder = self.feeder
        counts = judge(feeder.acknowledged, feeder.unknown, source, outputs, len(letters))
        self.outcome.figures["workers that wrote"] = str(len({one.pid for one in outputs}))
        self.outcome.counted(counts, min_records=min_records, max_duplicates=max_duplicates)
        return outputs

    async def _count_all_the_same(self, ground: Ground) -> None:
        """Count what was written until something took too long."""
        ground.proxies.weather.clear()
        await ground.nodes.start()
        for worker in self.fleet.running:
            await worker.kill()
        await self.fleet.start()
        await self.finish(seconds=60)
        await self.verify(min_records=0, max_duplicates=0)

    def check_ends(self) -> None:
        """Check that workers ended only by a signal, properly, or because Kafka was down."""
        for worker in self.fleet.workers:
            code = worker.process.returncode
            self.outcome.check(
                code is None or code in (0, UNREACHABLE) or code < 0,
                f"worker {worker.name} ended with {code}: {worker.said()}",
            )
