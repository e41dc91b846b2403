"""The last value of each key of a compacted topic, read to its end and then followed."""

import logging
import uuid
from collections.abc import Mapping

from streamapp.brokers.protocols import Broker, Consumer, ConsumerConfig
from streamapp.clock import Clock
from streamapp.errors import BrokerError, ConfigurationError, OffsetOutOfRangeError
from streamapp.record import Record, TopicPartition

log = logging.getLogger(__name__)

_FETCH_RECORDS = 1000
_FETCH_SECONDS = 1.0
_RETRY_SECONDS = 5.0


class TopicTable:
    """The last value of each key of a topic.

    Args:
        broker: has the topic.
        topic: its name.
        max_bytes: most bytes of keys and values.
        clock: measures waits.

    Attributes:
        entries: values by key.
    """

    def __init__(self, broker: Broker, topic: str, max_bytes: int, clock: Clock) -> None:
        self.entries: dict[bytes, bytes] = {}
        self._broker = broker
        self._topic = topic
        self._max_bytes = max_bytes
        self._bytes = 0
        self._clock = clock
        # A group of its own, which commits nothing: each worker reads the whole topic.
        group = f"streamapp.lookup.{uuid.uuid4().hex}"
        config = ConsumerConfig(group=group, topics=(topic,))
        self._consumer: Consumer = broker.consumer(config, _Listener())
        self._is_lost = False

    async def open(self) -> None:
        """Read the topic up to the end that it has now.

        Raises:
            ConfigurationError: there is no such topic, it is not compacted, or it is too large.
            BrokerError: it cannot be read.
        """
        places = await self._places()
        await self._consumer.start()
        ends = await self._consumer.end_offsets(places)
        while await self._is_before(ends):
            await self._read()

    async def follow(self) -> None:
        """Keep up with the topic, until it is cancelled.

        While the broker cannot be read, which the log says once, the entries stay as they are.

        Raises:
            ConfigurationError: the entries are too large now.
            UnreadableRecordError: a record cannot be parsed.
        """
        while True:
            try:
                await self._read()
            except OffsetOutOfRangeError as error:
                await self._begin_anew(error)
            except BrokerError as error:
                if not _is_passing(error):
                    raise
                await self._wait(error)
            else:
                self._is_lost = False

    async def close(self) -> None:
        """Close the connections."""
        await self._consumer.stop()

    async def _places(self) -> list[TopicPartition]:
        admin = self._broker.admin()
        await admin.start()
        try:
            found = (await admin.describe_topics([self._topic])).get(self._topic)
        finally:
            await admin.stop()
        if found is None:
            raise ConfigurationError(f"topic: there is no topic {self._topic!r}; create it")
        if not found.needs_keys:
            raise ConfigurationError(
                f"topic: {self._topic!r} is not compacted, so it does not keep the last value of"
                " each key; set its cleanup.policy to compact"
            )
        return [TopicPartition(self._topic, number) for number in range(found.partitions)]

    async def _is_before(self, ends: Mapping[TopicPartition, int]) -> bool:
        mine = self._consumer.assignment()
        if not ends.keys() <= mine:
            return True
        for place, end in ends.items():
            if await self._consumer.position(place) < end:
                return True
        return False

    async def _read(self) -> None:
        fetched = await self._consumer.fetch(
            self._consumer.assignment(),
            max_records=_FETCH_RECORDS,
            timeout_seconds=_FETCH_SECONDS,
        )
        for records in fetched.values():
            for record in records:
                self._take(record)

    def _take(self, record: Record) -> None:
        key, value = record.key, record.value
        if key is None:
            return  # a topic that was made compacted later may have such
        known = self.entries.pop(key, None)
        if known is not None:
            self._bytes -= len(key) + len(known)
        if value is None:
            return
        self.entries[key] = value
        self._bytes += len(key) + len(value)
        if self._bytes > self._max_bytes:
            raise ConfigurationError(
                f"topic: the entries of {self._topic!r} are larger than max_bytes,"
                f" {self._max_bytes}"
            )

    async def _begin_anew(self, error: OffsetOutOfRangeError) -> None:
        """Read from the beginning what was compacted away from under the position."""
        starts = await self._consumer.beginning_offsets(error.offsets.keys())
        for place, offset in starts.items():
            self._consumer.seek(place, offset)

    async def _wait(self, error: BrokerError) -> None:
        if not self._is_lost:
            self._is_lost = True
            log.warning(
                "a lookup goes on with what it read of topic %s before: %s", self._topic, error
            )
        await self._clock.sleep(_RETRY_SECONDS)


def _is_passing(error: BrokerError) -> bool:
    """Whether an error may be over after a while, as an outage is."""
    return type(error) is BrokerError


class _Listener:
    """Ignores rebalances: the consumer is alone in its group."""

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None: ...

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None: ...
