"""A dead letter: the record in its topic, and what its headers say of the failure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from streamapp.letters.sent_back import NEVER_SENT_BACK, SentBack
from streamapp.record import ERROR_HEADERS, Headers, Record, TopicPartition, address

_RUN_HEADER = f"{ERROR_HEADERS}execution_id"


class Dialect(StrEnum):
    """Who wrote a dead letter, by its headers."""

    STREAMAPP = "streamapp"
    CONNECT = "connect"
    SPRING = "spring"
    STREAMS = "streams"
    SMALLRYE = "smallrye"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Told:
    """What the headers of a dead letter say; empty or `None` where they say nothing.

    Attributes:
        dialect: who wrote them.
        pipeline: the pipeline; of others the connector, or the consumer group.
        stage: the stage in it.
        topic, partition, offset: where the original was read.
        timestamp_ms: when the event of the original was, in milliseconds since the epoch.
        error: class of the error.
        message: its message, which may quote the record.
        place: where the fault is: file and function of the code, or fields of the value.
        reason: why it became a dead letter.
        fingerprint: equal for failures of the same kind at the same place.
        attempts: number of attempts.
        first_failure_ms, last_failure_ms: when it failed, in milliseconds since the epoch.
        sent_back: how often it had been sent back to its stage before.
    """

    dialect: Dialect = Dialect.UNKNOWN
    pipeline: str = ""
    stage: str = ""
    topic: str = ""
    partition: int | None = None
    offset: int | None = None
    timestamp_ms: int | None = None
    error: str = ""
    message: str = ""
    place: str = ""
    reason: str = ""
    fingerprint: str = ""
    attempts: int | None = None
    first_failure_ms: int | None = None
    last_failure_ms: int | None = None
    sent_back: SentBack = NEVER_SENT_BACK


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of a dead-letter topic.

    Attributes:
        place: topic and partition that it stands in.
        offset: its offset there.
        timestamp_ms: its timestamp there, from which retention counts.
        key, value: those of the original.
        headers: all of its headers.
        told: what they say.
        is_own: whether a header says something of the failure, and so is none of the original.
    """

    place: TopicPartition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    told: Told
    is_own: Callable[[str], bool] = field(repr=False, compare=False)

    @property
    def failed_ms(self) -> int:
        """When it failed last, in milliseconds since the epoch; else its timestamp."""
        last = self.told.last_failure_ms
        return self.timestamp_ms if last is None else last

    @property
    def original_headers(self) -> Headers:
        """Headers of the original."""
        return [header for header in self.headers if not self.is_own(header[0])]

    @property
    def run(self) -> str:
        """Id of the run of the worker that has given it up; empty if that is not known."""
        return (dict(self.headers).get(_RUN_HEADER) or b"").decode(errors="replace")

    @property
    def address(self) -> str:
        """Where it stands, such as `shop.check.dlq:0:17`."""
        return address(self.place, self.offset)

    @property
    def digest(self) -> str:
        """Sixteen hex digits that tell it from what stood at its place in an earlier topic."""
        hashed = sha256(b"%d" % self.timestamp_ms)
        for part in (self.key, self.value, *(p for n, v in self.headers for p in (n.encode(), v))):
            hashed.update(b"-" if part is None else b"%d:" % len(part) + part)
        return hashed.hexdigest()[:16]


def letter_of(
    place: TopicPartition, record: Record, told: Told, own: Callable[[str], bool]
) -> Letter:
    """A record of a dead-letter topic as a letter."""
    return Letter(
        TopicPartition(*place),
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        record.headers,
        told,
        own,
    )
