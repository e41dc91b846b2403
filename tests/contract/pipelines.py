"""Runs pipelines on the broker under test, for the runtime tests."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from streamapp.brokers.protocols import ConsumerConfig, ProducerConfig, TopicSpec
from streamapp.pipeline.agent import agent
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.record import Headers, Record, TopicPartition
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests import patience
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.kafka import unique_name
from tests.patience import within

QUICK = RuntimeConfig(commit_interval_seconds=0.05, shutdown_drain_seconds=5)


class Item(BaseModel):
    """The value of a test record: its number and a text."""

    n: int
    text: str = ""


@agent(name="same")
def _same(item: Item) -> Item:
    return item


@dataclass(frozen=True, slots=True)
class Rig:
    """A pipeline's name and topics on a broker under test.

    Attributes:
        is_bundled: whether the pipeline runs in a bundle with two others.
    """

    subject: Subject
    name: str
    is_bundled: bool = False

    def source(self, type_: Any = Item) -> Topic[Any]:
        return Topic(f"{self.name}.in", type_)

    def pipeline(self, type_: Any = Item) -> Pipeline[Any, Any]:
        return Pipeline(self.name, source=self.source(type_))

    @property
    def out(self) -> str:
        return f"{self.name}.out"

    def dead_letters(self, stage: str) -> str:
        return f"{self.name}.{stage}.dlq"

    def first_partition(self) -> TopicPartition:
        return TopicPartition(self.source().name, 0)

    async def create(
        self,
        pipeline: Pipeline[Any, Any],
        *,
        partitions: int = 2,
        config: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Create every topic of the pipeline, and of those beside it."""
        specs = [
            TopicSpec(topic, partitions, config=(config or {}).get(topic, {}))
            for topic in build(pipeline).topics()
        ]
        for other in self._others() if self.is_bundled else ():
            specs += [TopicSpec(topic, 1) for topic in build(other).topics()]
        async with self.subject.admin() as admin:
            await admin.create_topics(specs)

    async def put(
        self,
        records: Iterable[tuple[bytes | None, bytes | None]],
        *,
        partition: int = 0,
        headers: Headers = (),
        timestamp: int | None = None,
        topic: str | None = None,
    ) -> None:
        """Write keys and values to the source, in order, to one partition."""
        async with self.subject.producer(ProducerConfig()) as producer:
            batch = producer.create_batch()
            for key, value in records:
                assert batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
            await (await producer.send_batch(batch, topic or self.source().name, partition))

    async def put_items(
        self, numbers: Iterable[int], *, keys: int = 5, partition: int = 0, text: str = ""
    ) -> None:
        """Write items; their key is their number modulo `keys`."""
        await self.put(
            [(b"%d" % (n % keys), orjson.dumps({"n": n, "text": text})) for n in numbers],
            partition=partition,
        )

    def service(self, pipeline: Pipeline[Any, Any], **options: Any) -> Service:
        topologies: Sequence[Topology] = [build(pipeline)]
        if self.is_bundled:
            topologies = build_bundle(Bundle(self.bundle, [pipeline, *self._others()]))
        return Service(self.subject.broker, topologies, **{"config": QUICK, **options})

    @property
    def bundle(self) -> str:
        return f"{self.name}-bundle"

    @property
    def beside(self) -> Sequence[str]:
        """Names of the other pipelines of the bundle, which copy from `.in` to `.out`."""
        return f"a-{self.name}", f"z-{self.name}"

    def alone_in_its_bundle(self, pipeline: Pipeline[Any, Any]) -> Service:
        topologies = build_bundle(Bundle(self.bundle, [pipeline]))
        return Service(self.subject.broker, topologies, config=QUICK)

    def _others(self) -> list[Pipeline[Any, Any]]:
        return [
            Pipeline(name, source=Topic(f"{name}.in", Item)).stage(_same).sink(f"{name}.out")
            for name in self.beside
        ]

    async def run_to_end(self, pipeline: Pipeline[Any, Any], **options: Any) -> Service:
        """Run until all that is there is worked on."""
        service = self.service(pipeline, **options)
        async with within(4 * PATIENCE_SECONDS, "the end of bounded work", lambda: service.metrics):
            await service.run(until_end=True)
        return service

    @asynccontextmanager
    async def running(self, pipeline: Pipeline[Any, Any], **options: Any) -> AsyncIterator[Service]:
        """Run in the background; stopped and waited for at the end."""
        service = self.service(pipeline, **options)
        task = asyncio.create_task(service.run())
        try:
            yield service
        finally:
            service.stop()
            async with within(PATIENCE_SECONDS, "the service to stop", lambda: service.metrics):
                await task

    async def read(self, topic: str) -> list[Record]:
        """All records of a topic, partition after partition."""
        places = await self.read_places(topic)
        return [record for records in places.values() for record in records]

    async def read_places(self, topic: str) -> Mapping[TopicPartition, list[Record]]:
        """All records of a topic by partition."""
        async with self.subject.admin() as admin:
            description = (await admin.describe_topics([topic]))[topic]
            names = [TopicPartition(topic, i) for i in range(description.partitions)]
            ends = await admin.end_offsets(names)
        config = ConsumerConfig(group=unique_name("reader"), topics=(topic,))
        found: dict[TopicPartition, list[Record]] = {name: [] for name in names}
        whole = within(PATIENCE_SECONDS, f"all of {topic}, up to {ends}", lambda: found)
        async with self.subject.member(config) as consumer, whole:
            while True:
                held = consumer.assignment()
                batches = await consumer.fetch(held, max_records=10_000, timeout_seconds=0.2)
                for name, records in batches.items():
                    found[TopicPartition(*name)] += records
                if held == frozenset(names) and all(
                    [await consumer.position(name) >= ends[name] for name in names]
                ):
                    return found

    async def read_numbers(self, topic: str) -> list[int]:
        """The numbers of all items of a topic."""
        return [orjson.loads(record.value or b"")["n"] for record in await self.read(topic)]

    async def committed(self, stage: str) -> Mapping[TopicPartition, int]:
        async with self.subject.admin() as admin:
            group = self.bundle if self.is_bundled else f"{self.name}.{stage}"
            offsets = await admin.committed_offsets(group)
        return {
            TopicPartition(*name): stored.offset
            for name, stored in offsets.items()
            if name.topic.startswith(self.name)
        }


def error_headers(record: Record) -> dict[str, str]:
    """The `streamapp.error.*` headers by their last word."""
    prefix = "streamapp.error."
    return {
        name.removeprefix(prefix): value.decode()
        for name, value in record.headers
        if name.startswith(prefix)
    }


async def eventually(condition: Any, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the condition holds; its awaited form as well."""
    await patience.eventually(condition, seconds=seconds)


def numbers(records: Sequence[Record]) -> list[int]:
    return [orjson.loads(record.value or b"")["n"] for record in records]
