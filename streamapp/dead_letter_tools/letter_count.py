"""What is known of one dead-letter topic: which letters are open, and the first of them."""

from dataclasses import dataclass, field

import orjson

from streamapp.brokers.protocols import TopicDescription
from streamapp.letters.dialects import read_letter
from streamapp.letters.done_letters import DoneLetters
from streamapp.letters.ledger import LetterState
from streamapp.observability.open_letters import OpenLetters
from streamapp.record import Record, TopicPartition

_DONE = (LetterState.REPLAYED, LetterState.DISCARDED)


@dataclass(slots=True)
class PartitionCount:
    """What is known of one partition.

    Attributes:
        begin, end: the offsets between which its letters stand.
        done: those that are done.
        first_at: offset at which its first letter was looked for.
        first_failed_ms: when that letter failed; `None` without any.
        oldest_at: offset at which the first open letter was looked for.
        oldest_ms: timestamp of that letter; `None` without any.
    """

    begin: int = 0
    end: int = 0
    done: DoneLetters = field(default_factory=DoneLetters)
    first_at: int | None = None
    first_failed_ms: int | None = None
    oldest_at: int | None = None
    oldest_ms: int | None = None


class LetterCount:
    """What is known of one dead-letter topic.

    Attributes:
        topic: what it is like.
        partitions: its partitions, by number.
        ledger_read: for each partition of its ledger, the offset up to which it was read.
        counted_since: monotonic seconds at which it was begun to be counted.
    """

    def __init__(self, topic: TopicDescription, now: float) -> None:
        self.topic = topic
        self.partitions = {number: PartitionCount() for number in range(topic.partitions)}
        self.ledger_read: dict[TopicPartition, int] = {}
        self.counted_since = now

    @property
    def name(self) -> str:
        """Name of the topic."""
        return self.topic.name

    def place(self, number: int) -> TopicPartition:
        """One of its partitions."""
        return TopicPartition(self.name, number)

    def is_of_an_earlier_topic(self, begins: dict[int, int], ends: dict[int, int]) -> bool:
        """Whether offsets have gone back, so that the topic was made anew."""
        return any(
            begins.get(number, 0) < known.begin or ends.get(number, 0) < known.end
            for number, known in self.partitions.items()
        )

    def bound(self, number: int, begin: int, end: int) -> None:
        """Take note of the offsets between which the letters of a partition stand."""
        known = self.partitions[number]
        known.begin, known.end = begin, end
        known.done.begin_at(begin)

    def letters(self) -> dict[TopicPartition, int]:
        """Where partitions begin that have letters."""
        return {
            self.place(number): known.begin
            for number, known in self.partitions.items()
            if known.begin < known.end
        }

    def unseen_firsts(self) -> dict[TopicPartition, int]:
        """Where partitions begin whose first letter was not read."""
        return {
            place: begin
            for place, begin in self.letters().items()
            if self.partitions[place.partition].first_at != begin
        }

    def unseen_oldest(self) -> dict[TopicPartition, int]:
        """Where the first open letters of partitions stand that were not read."""
        found: dict[TopicPartition, int] = {}
        for number, known in self.partitions.items():
            first = known.done.first_open(known.end)
            if first is None:
                known.oldest_at = known.oldest_ms = None
            elif first != known.oldest_at:
                found[self.place(number)] = first
        return found

    def take_first(self, place: TopicPartition, at: int, record: Record | None) -> None:
        """Take note of the first letter of a partition, which was looked for at an offset."""
        known = self.partitions[place.partition]
        known.first_at = at
        known.first_failed_ms = None if record is None else read_letter(place, record).failed_ms

    def take_oldest(self, place: TopicPartition, at: int, record: Record | None) -> None:
        """Take note of the first open letter of a partition."""
        known = self.partitions[place.partition]
        known.oldest_at = at
        known.oldest_ms = None if record is None or record.timestamp < 0 else record.timestamp

    def take_entry(self, record: Record) -> None:
        """Take note of a record of the ledger.

        One that is older than the first letter of its partition is of an earlier topic of the same
        name: nothing can be done with a letter before the first one has failed.
        """
        found = _place_in(record.key)
        known = None if found is None else self.partitions.get(found[0])
        if found is None or known is None:
            return
        state, at_ms = _state_in(record.value)
        is_old = known.first_failed_ms is None or at_ms < known.first_failed_ms
        known.done.note(found[1], is_done=state in _DONE and not is_old)

    def open_letters(self, now: float, wall: float) -> OpenLetters | None:
        """How many are open, and the first of them; `None` if they cannot be counted.

        Args:
            now: monotonic seconds.
            wall: the same moment in seconds since the epoch.
        """
        known = self.partitions.values()
        # Offsets are counted, of which a compacted topic has left some out.
        if self.topic.needs_keys or any(one.done.has_overflowed for one in known):
            return None
        kept = self.topic.retention_ms
        stamps = [one.oldest_ms for one in known if one.oldest_ms is not None]
        return OpenLetters(
            self.name,
            sum(one.done.open_below(one.end) for one in known),
            min(stamps) / 1000 - wall + now if stamps else None,
            None if kept is None else kept / 1000,
        )


def _place_in(key: bytes | None) -> tuple[int, int] | None:
    """Partition and offset of the letter that an entry is for."""
    partition, _, offset = (key or b"").partition(b":")
    if not (partition.isdigit() and offset.isdigit()):
        return None
    return int(partition), int(offset)


def _state_in(value: bytes | None) -> tuple[LetterState, int]:
    """What an entry says, and when it was made; what is no entry says that nothing was done."""
    try:
        found = orjson.loads(value or b"")
        return LetterState(found["state"]), int(found["at"])
    except (KeyError, TypeError, ValueError):
        return LetterState.OPEN, 0
