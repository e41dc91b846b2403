"""Sends dead letters back to their stages, each of them once, whenever this process is killed.

A letter and its entry in the ledger are written in one transaction. Who starts afterwards fences
the producer that wrote before, which settles what it has left open, and reads the ledger then: it
says of each letter whether it was sent. Of two that run at the same time, the first one is fenced.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from streamapp.brokers.partitioner import partition_for
from streamapp.brokers.protocols import (
    Admin,
    OutgoingRecord,
    TopicDescription,
    TransactionalBroker,
    TransactionalProducer,
)
from streamapp.clock import Clock
from streamapp.dead_letter_tools.fates import Fate, Sorting
from streamapp.dead_letter_tools.reading import read_ledger, read_letters
from streamapp.dead_letter_tools.targets import Target
from streamapp.dead_letter_tools.topics import described, ensure_ledger, ensure_replay_topic
from streamapp.dead_letter_tools.unsendable import Unsendables
from streamapp.errors import FencedError, UnreadableRecordError
from streamapp.letters.ledger import Ledger, LedgerEntry, LetterState, entry_for, key_of
from streamapp.letters.letter import Letter
from streamapp.letters.send_back import headers_sent_back
from streamapp.record import TopicPartition

MOST_RECORDS = 500
MOST_BYTES = 4 * 1024 * 1024
"""Of one transaction, before the letter that exceeds it."""

_SETTLE_SECONDS = 5.0
_SETTLE_POLL_SECONDS = 0.02


@dataclass(slots=True)
class Sent:
    """What was done with the letters of a dead-letter topic.

    Attributes:
        sent: how many were sent, by the stage's target.
        fates: how many letters had which fate.
        ends: the offset behind the last record that was written to each partition, if known.
        fingerprints: those of what was sent.
        runs: the runs of workers that had given up what was sent.
        unsendable: what their replay topics would refuse.
        unreadable: records that cannot be read.
    """

    sent: Counter[Target] = field(default_factory=Counter)
    fates: Counter[Fate] = field(default_factory=Counter)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    fingerprints: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    unsendable: Unsendables = field(default_factory=Unsendables)
    unreadable: list[UnreadableRecordError] = field(default_factory=list)


class LedgerWriter:
    """Writes entries of the ledger of one dead-letter topic, with what is sent, in transactions.

    Args:
        broker: has the topics.
        admin: makes those that are missing.
        topic: the dead-letter topic.

    Attributes:
        letters: what the topic is like.
        ledger: the entries so far.
    """

    letters: TopicDescription

    def __init__(self, broker: TransactionalBroker, admin: Admin, topic: str) -> None:
        self._broker = broker
        self._admin = admin
        self._topic = topic
        self._producer: TransactionalProducer = broker.transactional_producer(
            f"streamapp.dlq.{topic}"
        )
        self._records: list[OutgoingRecord] = []
        self._bytes = 0
        self._ends: dict[TopicPartition, int] = {}
        self._ledger_place = TopicPartition("", 0)
        self.ledger = Ledger()

    async def start(self) -> None:
        """Fence who wrote before, and read what is in the ledger then.

        Raises:
            TopicError: the dead-letter topic does not exist, or the ledger cannot be made.
            BrokerError: the broker cannot be reached, or refuses something.
        """
        self.letters = (await described(self._admin, [self._topic]))[self._topic]
        self._ledger_place = TopicPartition(await ensure_ledger(self._admin, self.letters), 0)
        await self._producer.start()
        self.ledger = await read_ledger(self._broker, self._admin, self._topic)

    async def stop(self) -> None:
        """Close."""
        await self._producer.stop()

    @property
    def is_full(self) -> bool:
        """Whether the transaction has as much as one should have."""
        return self._bytes >= MOST_BYTES

    def add(self, letter: Letter, entry: LedgerEntry, record: OutgoingRecord | None = None) -> None:
        """Add an entry, and the record that goes with it, to the next transaction."""
        key = key_of(letter.place, letter.offset)
        if record is not None:
            self._records.append(record)
            self._bytes += len(record.value or b"")
        self._records.append(OutgoingRecord(self._ledger_place, key, entry.to_json()))
        self.ledger.put(letter, entry)

    async def write(self) -> Mapping[TopicPartition, int]:
        """Write what was added, in one transaction.

        Returns:
            The offset behind the last record in each partition, where it is known.

        Raises:
            FencedError: another one writes for this dead-letter topic now.
            BrokerError: it could not be written, or nobody knows whether it was.
        """
        try:
            ends = await self._producer.write(self._records) if self._records else {}
        except FencedError as error:
            raise FencedError(
                f"another replay or discard of {self._topic} has begun, which stops this one; what"
                " this one has sent stands in the ledger, so call it again when the other has ended"
            ) from error
        self._records = []
        self._bytes = 0
        self._ends.update(ends)
        return ends

    async def settle(self, clock: Clock) -> None:
        """Wait until readers see all that was written, which takes some milliseconds.

        So who lists letters afterwards is told the truth. After some seconds it is not waited for
        any longer.
        """
        deadline = clock.monotonic() + _SETTLE_SECONDS
        while clock.monotonic() < deadline:
            seen = await self._admin.end_offsets(list(self._ends))
            if all(seen[place] >= end for place, end in self._ends.items()):
                return
            await clock.sleep(_SETTLE_POLL_SECONDS)


class Sender:
    """Sends letters of one dead-letter topic back.

    Args:
        writer: writes what is sent.
        admin: makes replay topics.
        sorting: says what becomes of each letter.
        replay: id of this replay.
        clock: the time.
        per_second: most letters a second; `None` for as many as can be sent.
        limit: most letters to send; `None` for all.
        on_sent: told how many more were sent.
        result: what was done before, to which this is added; `limit` counts it too.
    """

    def __init__(
        self,
        writer: LedgerWriter,
        admin: Admin,
        sorting: Sorting,
        replay: str,
        clock: Clock,
        *,
        per_second: float | None = None,
        limit: int | None = None,
        on_sent: Callable[[int], None] = lambda _count: None,
        result: Sent | None = None,
    ) -> None:
        self._writer = writer
        self._admin = admin
        self._sorting = sorting
        self._replay = replay
        self._clock = clock
        self._per_second = per_second
        self._limit = limit
        self._on_sent = on_sent
        self._topics: dict[str, TopicDescription] = {}
        self._began = 0.0
        self._is_stopping = False
        self.result = Sent() if result is None else result
        self._before = self._told = self._count()

    def stop(self) -> None:
        """Write what was taken, and take no further letters."""
        self._is_stopping = True

    async def send(self, broker: TransactionalBroker, ends: Mapping[TopicPartition, int]) -> Sent:
        """Send the letters below these offsets.

        Raises:
            FencedError: another one sends letters of this topic now.
            TopicError: a replay topic cannot be made.
            BrokerError: the broker cannot be reached, or refuses something.
        """
        self._began = self._clock.monotonic()
        waiting = 0
        told = self.result.unreadable.append
        async with aclosing(read_letters(broker, ends, on_unreadable=told)) as letters:
            async for letter in letters:
                is_enough = self._limit is not None and self._count() >= self._limit
                if is_enough or self._is_stopping:
                    break
                waiting += await self._take(letter)
                if waiting >= self._at_once() or self._writer.is_full:
                    await self._flush()
                    waiting = 0
        await self._flush()
        await self._writer.settle(self._clock)
        return self.result

    async def _take(self, letter: Letter) -> bool:
        """Add what becomes of a letter to the transaction; whether anything does."""
        entry = self._writer.ledger.entry_of(letter)
        fate, target = self._sorting.fate_of(letter, entry)
        if fate is Fate.SEND and target is not None and not await self._add(letter, target):
            fate = Fate.UNSENDABLE
        self.result.fates[fate] += 1
        if fate is Fate.QUARANTINE:
            why = f"it was sent back {letter.told.sent_back.times} times"
            self._writer.add(letter, self._entry(letter, LetterState.QUARANTINED, why))
        return fate in (Fate.SEND, Fate.QUARANTINE)

    async def _add(self, letter: Letter, target: Target) -> bool:
        """Add a letter that goes to a stage to the transaction; whether its topic takes it."""
        topic = await self._topic(target)
        record = self._record(letter, target, topic)
        if self.result.unsendable.refuses(letter, record, topic):
            return False
        self._writer.add(letter, self._entry(letter, LetterState.REPLAYED, target.topic), record)
        self.result.sent[target] += 1
        self.result.fingerprints.add(letter.told.fingerprint)
        self.result.runs.add(letter.run)
        return True

    def _entry(self, letter: Letter, state: LetterState, why: str) -> LedgerEntry:
        now_ms = int(self._clock.time() * 1000)
        return entry_for(letter, state, now_ms, replay=self._replay, why=why)

    async def _topic(self, target: Target) -> TopicDescription:
        """The replay topic of a stage, which is made unless it exists."""
        topic = self._topics.get(target.topic)
        if topic is None:
            topic = await ensure_replay_topic(self._admin, target, self._writer.letters)
            self._topics[target.topic] = topic
        return topic

    def _record(self, letter: Letter, target: Target, topic: TopicDescription) -> OutgoingRecord:
        count = topic.partitions
        partition = (
            letter.offset % count if letter.key is None else partition_for(letter.key, count)
        )
        headers = headers_sent_back(letter, target.pipeline, target.stage, self._replay)
        place = TopicPartition(target.topic, partition)
        return OutgoingRecord(
            place,
            letter.key,
            letter.value,
            headers,
            max_batch_bytes=topic.max_message_bytes,
        )

    async def _flush(self) -> None:
        self.result.ends.update(await self._writer.write())
        count = self._count()
        self._on_sent(count - self._told)
        self._told = count
        if self._per_second is not None:
            due = self._began + (count - self._before) / self._per_second
            if (wait := due - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)

    def _count(self) -> int:
        return self.result.sent.total()

    def _at_once(self) -> int:
        """Letters of one transaction: those of half a second."""
        if self._per_second is None:
            return MOST_RECORDS
        return max(1, min(MOST_RECORDS, int(self._per_second / 2)))
