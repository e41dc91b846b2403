"""A pipeline that runs on the memory broker for the length of a test."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import ConsumerConfig
from streamapp.errors import BrokerError, StreamappError
from streamapp.pipeline.topology import Segment, Topology
from streamapp.record import Headers, Record, TopicPartition
from streamapp.service import Service
from streamapp.testing.inputs import Input, InputWriter
from streamapp.testing.results import PipelineResults

InT = TypeVar("InT")
OutT = TypeVar("OutT")

_POLL_SECONDS = 0.005
_READ_TIMEOUT_SECONDS = 10.0
_READ_RECORDS = 10_000


class UnfinishedError(StreamappError):
    """A pipeline did not finish its inputs in time; the message says which stage has how many left.

    Attributes:
        results: what had been written by then.
    """

    def __init__(self, message: str, *, results: PipelineResults[Any]) -> None:
        super().__init__(message)
        self.results = results


class RunningPipeline(Generic[InT, OutT]):
    """A pipeline at work on a memory broker; made by `PipelineDriver.start`."""

    def __init__(
        self,
        *,
        topology: Topology,
        writer: InputWriter,
        broker: MemoryBroker,
        service: Service,
        task: "asyncio.Task[None]",
        partitions: int,
        timeout_seconds: float,
    ) -> None:
        self._topology = topology
        self._writer = writer
        self._broker = broker
        self._service = service
        self._task = task
        self._partitions = partitions
        self._timeout_seconds = timeout_seconds
        self._error_raised = False

    async def send(
        self,
        value: InT | bytes | None,
        *,
        key: bytes | str | None = None,
        headers: Headers = (),
        topic: str | None = None,
    ) -> None:
        """Write one record to a source topic.

        Args:
            value: a value of the topic's schema, or bytes to write as they are; `None` writes a
                tombstone.
            key: the record's key, text as UTF-8.
            headers: the record's headers.
            topic: the source topic; needed if several take values of this type.

        Raises:
            PipelineError: several source topics take the value, and none is named.
            EncodeError: the value is not of the topic's schema.
        """
        await self._writer.write([Input(value, key, headers, topic=topic)])

    async def send_all(self, inputs: Iterable[InT | Input[InT] | bytes]) -> None:
        """Write records to the source topics in their order.

        Raises:
            PipelineError: several source topics take a value that names none.
            EncodeError: a value is not of the topic's schema; none of the inputs is written.
        """
        await self._writer.write(inputs)

    async def results(self) -> PipelineResults[OutT]:
        """Wait until every stage has finished all records, and return what was written so far.

        Raises:
            StageStoppedError: the policy of a stage said stop; asked again, it returns what was
                written before.
            StageError: an agent could not be opened.
            UnfinishedError: the records were not finished within `timeout_seconds`.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for segment in self._topology.segments:
                    await self._finished(segment)
        except TimeoutError:
            written = await self._written()
            message = await self._unfinished(written)
            raise UnfinishedError(message, results=written) from None
        return await self._written()

    async def ended(self) -> None:
        """Wait for the end of the service, and raise its error unless it was raised before."""
        await asyncio.wait([self._task])
        if not self._error_raised:
            self._error_raised = True
            self._task.result()

    async def _finished(self, segment: Segment) -> None:
        """Wait until the group of a segment has committed the end of its source.

        The segments before it have finished, so nothing is added to its source meanwhile.
        """
        while await self._unfinished_records(segment):
            if self._task.done():
                await self.ended()
                return  # its error was raised before: what was written is all there will be
            await asyncio.sleep(_POLL_SECONDS)

    async def _unfinished_records(self, segment: Segment) -> int:
        """Records of what a segment reads that its group has not committed."""
        admin = self._broker.admin()
        existing = await admin.list_topics() if segment.patterns else ()
        topics = segment.topics_among(existing)
        places = [place for topic in topics for place in self._places(topic)]
        # In this order: a record is in a retry topic before the commit says that it was moved.
        committed = await admin.committed_offsets(segment.group)
        ends = await admin.end_offsets(places)
        return sum(
            end - (committed[place].offset if place in committed else 0)
            for place, end in ends.items()
        )

    async def _unfinished(self, written: PipelineResults[OutT]) -> str:
        """Say which stages have records left, and what was written so far."""
        left = []
        for segment in self._topology.segments:
            if count := await self._unfinished_records(segment):
                metrics, sources = written.metrics(segment.name), map(repr, segment.source_names)
                left.append(
                    f"stage {segment.name!r} has not finished {count} records of"
                    f" {', '.join(sources)} ({metrics.in_flight_records} in flight,"
                    f" {metrics.retries} retries so far)"
                )
                if metrics.held_reason is not None:
                    left.append(
                        f"its records are held, because {metrics.held_reason}; breaker=None and"
                        " dead_letter_budget=None turn that off for a stage"
                    )
        letters = [
            f"{letter.stage}: {letter.error}: {letter.message}" for letter in written.dead_letters()
        ]
        return (
            f"pipeline {self._topology.pipeline!r} did not finish within"
            f" {self._timeout_seconds:g} s: {'; '.join(left)}."
            f" Outputs so far: {written.outputs!r}. Dead letters so far: {letters!r}."
        )

    async def _written(self) -> PipelineResults[OutT]:
        segments = self._topology.segments
        topics = [*dict.fromkeys(name for each in segments for name in each.written_topics())]
        places = [place for topic in topics for place in self._places(topic)]
        records = await _read(self._broker, topics, places)
        return PipelineResults(self._topology, records, self._service.metrics)

    def _places(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._partitions)]


class _Listener:
    """Ignores rebalances: the reader of a test is alone in its group."""

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None: ...

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None: ...


async def _read(
    broker: MemoryBroker, topics: Sequence[str], places: Sequence[TopicPartition]
) -> Mapping[TopicPartition, Sequence[Record]]:
    """All records of these topics that are written by now."""
    consumer = broker.consumer(ConsumerConfig("streamapp.testing", tuple(topics)), _Listener())
    found: dict[TopicPartition, list[Record]] = {place: [] for place in places}
    ends = await broker.admin().end_offsets(places)
    await consumer.start()
    try:
        async with asyncio.timeout(_READ_TIMEOUT_SECONDS):
            while any(len(found[place]) < end for place, end in ends.items()):
                fetched = await consumer.fetch(
                    consumer.assignment(), max_records=_READ_RECORDS, timeout_seconds=0
                )
                for place, records in fetched.items():
                    found[TopicPartition(*place)].extend(records)
    except TimeoutError:
        raise BrokerError(
            f"the topics {', '.join(topics)} could not be read within {_READ_TIMEOUT_SECONDS:g} s"
        ) from None
    finally:
        await consumer.stop()
    return found
