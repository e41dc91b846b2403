"""What the runtime costs for each record, without a broker: microseconds of one core.

`python -m benchmarks.hot_path [sync async dict …]` runs a segment as a worker does, on bytes as a
broker sends them and with real batches; only the sockets are missing. Beside it stands the
hand-written loop on the same records. The least of several rounds is shown, because noise only
ever adds.
"""

import argparse
import asyncio
import random
import struct
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from benchmarks import load
from benchmarks.hand_loop import HANDLERS, OutputBatches
from benchmarks.measure import BATCH_RECORDS, MAX_BATCH_BYTES, PARTITIONS, Job
from benchmarks.streamapp_stage import AGENTS, pipeline_of
from streamapp.brokers.compression import Compression
from streamapp.brokers.fetched import FetchedList
from streamapp.brokers.kafka.batch import KafkaBatch
from streamapp.brokers.kafka.fetches import UnpackedRecords
from streamapp.brokers.kafka.parsing import log_of
from streamapp.brokers.partitioner import partition_for
from streamapp.brokers.protocols import (
    Admin,
    Broker,
    CommittedOffset,
    Consumer,
    ConsumerConfig,
    FetchedRecords,
    Producer,
    ProducerConfig,
    RebalanceListener,
    TopicDescription,
)
from streamapp.clock import Clock, SystemClock
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.record import TopicPartition
from streamapp.runtime.config import Environment, RuntimeConfig
from streamapp.runtime.producer import SharedProducer
from streamapp.runtime.segment import SegmentRunner

Log = dict[TopicPartition, bytes]
"""The log of each partition, as a broker sends it."""

LOG_BATCH_RECORDS = 500


class LocalConsumer:
    """Hands out records that are there already; says when all are committed.

    What was sent is parsed as the Kafka consumer does it: in whole batches where somebody listens,
    by the client's own iterator for the loop.
    """

    def __init__(self, log: Log, listener: RebalanceListener | None) -> None:
        self._listener = listener
        parser = MemoryRecords if listener is None else log_of
        packed = {name: packed_records(name, parser(sent)) for name, sent in log.items()}
        self._packed = packed
        self._unpacked = {name: UnpackedRecords(records) for name, records in packed.items()}
        self._ends = {name: end_of(sent) for name, sent in log.items()}
        self._committed: dict[TopicPartition, int] = {}
        self.done = asyncio.Event()

    async def start(self) -> None:
        """Assign all partitions."""
        if self._listener is not None:
            await self._listener.on_partitions_assigned(frozenset(self._ends))

    async def stop(self) -> None:
        """Nothing is open."""

    async def fetch(
        self, partitions: Collection[TopicPartition], *, max_records: int, timeout_seconds: float
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """The next records of each partition."""
        await asyncio.sleep(0 if partitions else timeout_seconds)
        found: dict[TopicPartition, FetchedRecords] = {}
        for name in partitions:
            records = self._take(name, max_records // PARTITIONS)
            if len(records):
                found[name] = records
        if not found:
            await asyncio.sleep(0.001)
        return found

    def _take(self, name: TopicPartition, count: int) -> FetchedRecords:
        if self._listener is not None:
            return self._unpacked[name].take(count)
        found = []
        for record in self._packed[name]:  # as the client's getmany does
            found.append(record)
            if len(found) >= count:
                break
        return FetchedList(found)

    async def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Take note."""
        self._committed |= {name: committed.offset for name, committed in offsets.items()}
        if self._committed == self._ends:
            self.done.set()

    def committed(self, partition: TopicPartition) -> CommittedOffset | None:  # noqa: ARG002 - the protocol's
        """Nothing is committed before the start."""
        return None

    async def position(self, partition: TopicPartition) -> int:
        """What was committed, which is all that is asked for."""
        return self._committed.get(partition, 0)

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Number of records of each partition."""
        return {name: self._ends[name] for name in partitions}


class LocalProducer:
    """Builds batches and throws them away."""

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing is open."""

    def create_batch(
        self, max_bytes: int | None = None, _for_large: Sequence[Compression] = ()
    ) -> KafkaBatch:
        """An empty batch."""
        return KafkaBatch(min(MAX_BATCH_BYTES, max_bytes or MAX_BATCH_BYTES))

    async def send_batch(
        self,
        batch: Any,
        _topic: str,
        partition: int = 0,  # noqa: ARG002 - the protocol's
    ) -> "asyncio.Future[object]":
        """Encode the batch, and say that it is acknowledged."""
        batch._build()  # noqa: SLF001 - what aiokafka's sender does with it
        acknowledged: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged


class LocalBroker:
    """Where the two come from."""

    compression = None

    def __init__(self, log: Log) -> None:
        self._log = log
        self.latest: LocalConsumer | None = None

    def consumer(self, _config: ConsumerConfig, listener: RebalanceListener) -> Consumer:
        """The only consumer."""
        self.latest = LocalConsumer(self._log, listener)
        return cast("Consumer", self.latest)

    def producer(self, _config: ProducerConfig) -> Producer:
        """A producer."""
        return cast("Producer", LocalProducer())


class LocalAdmin:
    """Knows how many partitions every topic has."""

    async def partition_counts(self, names: Collection[str]) -> Mapping[str, int]:
        """The same number for each topic; no dead letter was ever sent back."""
        return {name: PARTITIONS for name in names if not name.endswith(".replay")}


def make_log(records: int, keys: int = load.KEYS) -> Log:
    """The bytes of `records` purchases, by partition."""
    own: dict[TopicPartition, list[tuple[bytes, bytes]]] = {
        TopicPartition("source", i): [] for i in range(PARTITIONS)
    }
    for key, value in load.purchases(records, keys=keys):
        own[TopicPartition("source", partition_for(key, PARTITIONS))].append((key, value))
    return {name: b"".join(batches_of(pairs)) for name, pairs in own.items()}


def batches_of(pairs: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Record batches with these keys and values, as they stand in a log."""
    now_ms = int(time.time() * 1000)
    for first in range(0, len(pairs), LOG_BATCH_RECORDS):
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 30)
        for place, (key, value) in enumerate(pairs[first : first + LOG_BATCH_RECORDS]):
            builder.append(place, now_ms, key, value, [])
        batch = bytearray(builder.build())
        struct.pack_into(">q", batch, 0, first)  # the broker sets the base offset
        yield bytes(batch)


def packed_records(name: TopicPartition, records: Any) -> PartitionRecords:
    """What the client makes of the batches of a response."""
    return PartitionRecords(name, records, None, 0, None, None, True, READ_COMMITTED)  # noqa: FBT003 - the client's


def end_of(sent: bytes) -> int:
    """Offset after the last record of a log."""
    records, end = MemoryRecords(sent), 0
    while records.has_next():
        batch = records.next_batch()
        end = end if batch is None else batch.next_offset
    return end


async def run_hand_loop(log: Log, mode: str) -> None:
    consumer = LocalConsumer(log, None)
    outputs = OutputBatches(LocalProducer(), "out", PARTITIONS)
    while not consumer.done.is_set():
        fetched = await consumer.fetch(list(log), max_records=BATCH_RECORDS, timeout_seconds=0)
        await HANDLERS.get(mode, HANDLERS["sync"])(fetched, outputs)
        await outputs.send()
        await consumer.commit(
            {name: CommittedOffset(records[-1].offset + 1) for name, records in fetched.items()}
        )


async def run_segment(
    log: Log,
    mode: str,
    clock: Clock | None = None,
    change: Callable[[Pipeline[Any, Any]], Pipeline[Any, Any]] = lambda pipeline: pipeline,
) -> None:
    pipeline = change(pipeline_of(Job("", "source", "out", "bench", mode, 0)))
    segment = build(pipeline).segments[0]
    broker, clock = LocalBroker(log), clock or SystemClock()
    rng = random.Random()
    producer = SharedProducer(cast("Broker", broker), ProducerConfig(), clock, rng)
    await producer.start()
    config = RuntimeConfig(commit_interval_seconds=0.02)
    runner = SegmentRunner(
        segment,
        {
            name: TopicDescription(name, PARTITIONS, 1, {"max.message.bytes": "1000000"})
            for name in (*segment.source_topics, *segment.written_topics())
        },
        tuple(StageMetrics("bench", step.stage.stage_id, "source") for step in segment.steps),
        Environment(
            cast("Broker", broker),
            cast("Admin", LocalAdmin()),
            producer,
            clock,
            rng,
            config,
            "bench",
        ),
    )
    assert broker.latest is not None  # noqa: S101 - the runner has just made it
    async with asyncio.TaskGroup() as tasks:  # a segment that fails ends the wait as well
        tasks.create_task(runner.run())
        await broker.latest.done.wait()
        runner.stop()


def microseconds(log: Log, mode: str, rounds: int) -> tuple[float, float]:
    """CPU time for each record, loop and segment in turns, of the best round of each."""
    records = sum(map(end_of, log.values()))
    spent: dict[Any, list[float]] = {run_hand_loop: [], run_segment: []}
    for _ in range(rounds):
        for run, times in spent.items():
            before = time.process_time()
            asyncio.run(run(log, mode))
            times.append(time.process_time() - before)
    by_hand, segment = (min(times) / records * 1e6 for times in spent.values())
    return by_hand, segment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modes", nargs="*", default=list(AGENTS), metavar="MODE")
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    log = make_log(arguments.records)
    for mode in arguments.modes:
        by_hand, segment = microseconds(log, mode, arguments.rounds)
        print(
            f"{mode:6} hand loop {by_hand:6.2f} µs/record, streamapp {segment:6.2f},"
            f" more {segment - by_hand:5.2f}, ratio {by_hand / segment:.2f}"
        )


if __name__ == "__main__":
    main()
