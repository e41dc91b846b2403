"""Lets Faust read committed records only, and tells where its position is past what is no record.

By itself, Faust also works on records of transactions that were aborted, or are still open.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from mode.threads import WorkerThread

from streamapp.errors import ConfigurationError
from streamapp.record import TopicPartition


def read_committed(app: Any) -> None:
    """Let an application read committed records only; before it starts.

    Raises:
        ConfigurationError: it reads by a transport of its own.
    """
    transport = app.transport
    if transport.Consumer not in (Consumer, CommittedConsumer):
        raise ConfigurationError(
            f"Faust application {app.conf.id!r} reads by a transport of its own, with which it"
            " would read what is not committed; give it a broker that begins with kafka://"
        )
    transport.Consumer = CommittedConsumer


class Gaps:
    """For each partition, the last stretch of offsets of which it is known that none has a record.

    Such as the marker of a transaction at the end of a log.
    """

    def __init__(self) -> None:
        self._last: dict[TopicPartition, tuple[int, int]] = {}
        self._starts: dict[TopicPartition, tuple[int, int]] = {}

    def fetched(self, partition: TopicPartition, start: int, end: int, last: int | None) -> None:
        """Note that a fetch has moved a position.

        Args:
            partition: the partition.
            start: the position before.
            end: the position after.
            last: the offset of the last record that was fetched; `None` if there was none.
        """
        if last is not None:
            self._last[partition] = (last + 1, end)
            return
        begun, ended = self._last.get(partition, (start, start))
        self._last[partition] = (begun if ended == start else start, end)

    def begun(self, partition: TopicPartition, first: int, start: int) -> None:
        """Note at which position the fetch began whose first record has this offset."""
        self._starts[partition] = (first, start)

    def start_of(self, partition: TopicPartition, offset: int) -> int | None:
        """The position at which the last fetch began, if this offset was its first; else `None`."""
        first, start = self._starts.get(partition, (-1, -1))
        return start if first == offset else None

    def end_of(self, partition: TopicPartition, offset: int) -> int:
        """The end of the stretch that begins at this offset; else the offset itself."""
        begun, ended = self._last.get(partition, (offset, offset))
        return ended if begun == offset else offset


class DaemonThread(WorkerThread):
    """Does not keep the process alive: in an outage, its client waits for a broker for ever."""

    def __init__(self, service: Any, **settings: Any) -> None:
        super().__init__(service, **settings)
        self.daemon = True

    def run(self) -> None:
        """Run the consumer; when an application is abandoned, what it waits for is cancelled."""
        with suppress(asyncio.CancelledError):
            super().run()


class CommittedThread(AIOKafkaConsumerThread):
    """The thread in which Faust's consumer runs.

    Attributes:
        gaps: what its fetches have passed.
    """

    Worker = DaemonThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gaps = Gaps()
        self._seeks = self._seeking = 0

    async def seek_to_committed(self) -> Any:
        """Seek to what the group has committed."""
        with self._seek():
            return await super().seek_to_committed()

    async def seek_wait(self, partitions: Any) -> None:
        """Seek, and wait until it is done."""
        with self._seek():
            await super().seek_wait(partitions)

    async def seek_to_beginning(self, *partitions: Any) -> None:
        """Seek to the first offset."""
        with self._seek():
            await super().seek_to_beginning(*partitions)

    def seek(self, partition: Any, offset: int) -> None:
        """Seek to an offset."""
        with self._seek():
            super().seek(partition, offset)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust has no setting for it
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's own signature
        max_records: int | None = None,
    ) -> Any:
        seeks = None if self._seeking else self._seeks
        before = _positions(consumer, active_partitions)
        records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        # A position that somebody has set during the fetch says nothing about records.
        is_known = seeks == self._seeks and not self._seeking
        for place, found in records.items():
            if found:
                name, first = TopicPartition(*place), int(found[0].offset)
                start = before[name][1] if is_known and name in before else first
                self.gaps.begun(name, first, start)
        if is_known:
            self._note(before, _positions(consumer, active_partitions), records)
        return records

    def _note(
        self, before: "_Positions", after: "_Positions", records: Mapping[Any, list[Any]]
    ) -> None:
        for place, (state, end) in after.items():
            earlier = before.get(place)
            if earlier is not None and earlier[0] is state and earlier[1] != end:
                found = records.get(place)
                last = int(found[-1].offset) if found else None
                self.gaps.fetched(place, earlier[1], end, last)

    @contextmanager
    def _seek(self) -> Iterator[None]:
        self._seeking += 1
        try:
            yield
        finally:
            self._seeks += 1
            self._seeking -= 1


class CommittedConsumer(Consumer):
    """Faust's consumer, which reads committed records only."""

    _thread: CommittedThread

    @property
    def gaps(self) -> Gaps:
        """What its fetches have passed."""
        return self._thread.gaps

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)


# Faust would give each of them a logger of its own, whose level nobody has set.
CommittedThread.logger = AIOKafkaConsumerThread.logger
CommittedConsumer.logger = Consumer.logger

_Positions = dict[TopicPartition, tuple[object, int]]


def _positions(consumer: Any, partitions: Collection[Any] | None) -> _Positions:
    """The states of assigned partitions, each of one assignment, with their positions."""
    subscription = consumer._subscription.subscription  # noqa: SLF001 - the public way waits
    assignment = None if subscription is None else subscription.assignment
    if assignment is None:
        return {}
    states = ((TopicPartition(*one), assignment.state_value(one)) for one in partitions or ())
    return {
        place: (state, state.position)
        for place, state in states
        if state is not None and state.has_valid_position
    }
