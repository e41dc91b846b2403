"""Letters that their replay topic would refuse: why, and what to do about it."""

from dataclasses import dataclass

from streamapp.brokers.compression import (
    BATCH_HEADER_BYTES,
    FOR_LARGE,
    Compression,
    compress_to_fit,
    encoded_records,
)
from streamapp.brokers.protocols import OutgoingRecord, TopicDescription
from streamapp.letters.letter import Letter

_NO_TIMESTAMP = 0


@dataclass(slots=True)
class Unsendable:
    """Letters that one replay topic would refuse for one reason.

    Attributes:
        topic: the replay topic.
        needed_bytes: limit that it would need for them; 0 where they lack a key.
        count: how many they are.
        sample: where one of them stands.
    """

    topic: TopicDescription
    needed_bytes: int
    count: int
    sample: str

    def __str__(self) -> str:
        """What is wrong, and what to do."""
        where = f"such as {self.sample}"
        if not self.needed_bytes:
            return (
                f"{self.count:,} without a key, {where}: topic {self.topic.name!r} is compacted and"
                " takes none; set its cleanup.policy to delete, and call again"
            )
        return (
            f"{self.count:,} too large for topic {self.topic.name!r}, {where}: raise its"
            f" max.message.bytes from {self.topic.max_message_bytes} to {self.needed_bytes}, and"
            " call again"
        )


class Unsendables:
    """Counts the letters that replay topics would refuse."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool], Unsendable] = {}

    def refuses(self, letter: Letter, record: OutgoingRecord, topic: TopicDescription) -> bool:
        """Whether a topic would refuse what a letter is sent as; then the letter is counted."""
        needed_bytes = 0
        if not (record.key is None and topic.needs_keys):
            needed_bytes = _needed_bytes(record, topic)
            if needed_bytes <= topic.max_message_bytes:
                return False
        found = self._found.setdefault(
            (topic.name, needed_bytes > 0), Unsendable(topic, needed_bytes, 0, letter.address)
        )
        found.count += 1
        found.needed_bytes = max(found.needed_bytes, needed_bytes)
        return True

    def told(self) -> list[Unsendable]:
        """What was counted."""
        return list(self._found.values())


def _needed_bytes(record: OutgoingRecord, topic: TopicDescription) -> int:
    """Size of a batch with this record alone: compressed if it does not fit otherwise."""
    named = sum(len(name) + len(content or b"") for name, content in record.headers)
    if 2 * (named + len(record.value or b"") + len(record.key or b"")) < topic.max_message_bytes:
        return 0  # certainly: what else stands in a batch is small
    records = encoded_records([(_NO_TIMESTAMP, record.key, record.value, record.headers)])
    size = BATCH_HEADER_BYTES + len(records)
    if size > topic.max_message_bytes:
        packed = compress_to_fit(_codecs(topic), records, topic.max_message_bytes)
        return size if packed is None else BATCH_HEADER_BYTES + len(packed[1])
    return size


def _codecs(topic: TopicDescription) -> list[Compression]:
    """Codecs of large batches that help: a broker that changes a batch checks its size again."""
    stored_as = topic.compression_type
    return [one for one in FOR_LARGE if stored_as in ("producer", one)]
