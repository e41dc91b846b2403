"""Records of retry and replay topics: originals with headers that say where they are from.

Such a record has the headers of a dead letter (`dead_letters.error_headers`) behind all headers
that the original had; one that waits for a retry has three more, which say when it is due. So
whoever reads dead letters can read these.
"""

from dataclasses import dataclass, replace
from math import ceil

from streamapp.letters.sent_back import NEVER_SENT_BACK, SentBack, sent_back_in
from streamapp.record import (
    ERROR_HEADERS,
    EVENT_TIME_HEADER,
    FIRST_ERROR_HEADER,
    Headers,
    Record,
    StoredRecord,
    TopicPartition,
    event_timestamp,
)

_FIRST_FACT = FIRST_ERROR_HEADER
RETRY_HEADER = f"{ERROR_HEADERS}retry"
DELAY_HEADER = f"{ERROR_HEADERS}delay"
DUE_HEADER = f"{ERROR_HEADERS}due"
_TOO_LARGE = 2**63
"""Offsets and timestamps of Kafka are below it. Whoever may write to the topic may write others."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is known of a record that comes back from a retry topic.

    Attributes:
        source: topic and partition that it was read from first.
        offset: its offset there.
        timestamp: when its event was, in milliseconds since the epoch.
        attempts: attempts that have failed.
        first_failure_at: when the first of them failed, in seconds since the epoch.
        delays_used: how often it has waited in a retry topic.
        sent_back: how often, and in which replay, it was sent back to the stage.
    """

    source: TopicPartition
    offset: int
    timestamp: int
    attempts: int
    first_failure_at: float
    delays_used: int
    sent_back: SentBack = NEVER_SENT_BACK


def retry_headers(
    headers: Headers, facts: Headers, *, retry: int, delay_seconds: float, now: float
) -> Headers:
    """Headers of a record that is to wait.

    Args:
        headers: those of what failed, which stay as they are.
        facts: what `dead_letters.error_facts` says of the failure.
        retry: how often it has waited then.
        delay_seconds: how long it waits now.
        now: seconds since the epoch.
    """
    delay = round(delay_seconds * 1000)
    times = {RETRY_HEADER: retry, DELAY_HEADER: delay, DUE_HEADER: ceil(now * 1000) + delay}
    return [*headers, *facts, *[(name, str(value).encode()) for name, value in times.items()]]


def due_at(record: Record, delay_seconds: float) -> float:
    """When a record of a retry topic is due, in seconds since the epoch.

    One that was not written by a stage waits from its timestamp on.
    """
    for name, content in reversed(record.headers):
        if name == DUE_HEADER:
            try:
                return int(content) / 1000
            except (TypeError, ValueError, OverflowError):
                break
    return record.timestamp / 1000 + delay_seconds


def restored(
    record: Record, topic: TopicPartition, delays_used: int
) -> tuple[StoredRecord, Earlier]:
    """The original record, with the offset that it has in its topic now, and what is known of it.

    Args:
        record: a record of a retry topic or a replay topic.
        topic: the topic and its partition. A record that was not written by a stage is from there.
        delays_used: how often that one has waited.
    """
    headers = list(record.headers)
    first = _beginning_of_facts(headers)
    facts = dict(headers[first:])
    try:
        earlier = _earlier(facts)
    except (AttributeError, KeyError, TypeError, ValueError):
        first = len(headers)
        earlier = Earlier(topic, record.offset, event_timestamp(record), 0, 0.0, delays_used)
    timestamp = earlier.timestamp if first < len(headers) else record.timestamp
    if first < len(headers):
        headers = [header for header in headers[:first] if header[0] != EVENT_TIME_HEADER]
    found = StoredRecord(record.offset, timestamp, record.key, record.value, headers)
    return found, earlier


def begun_anew(earlier: Earlier) -> Earlier:
    """What is known of a dead letter that was sent back: its attempts and delays count no more."""
    return replace(earlier, attempts=0, first_failure_at=0.0, delays_used=0)


def _beginning_of_facts(headers: Headers) -> int:
    """Where the headers begin that were added last; the length of all without any."""
    for i in range(len(headers) - 1, -1, -1):
        name = headers[i][0]
        if name == _FIRST_FACT:
            return i
        if not name.startswith(ERROR_HEADERS) and name != EVENT_TIME_HEADER:
            break
    return len(headers)


def _earlier(facts: dict[str, bytes]) -> Earlier:
    def number(name: str) -> int:
        found = int(facts[f"{ERROR_HEADERS}{name}"])
        if not -1 <= found < _TOO_LARGE:  # -1 is the timestamp of a record without one
            raise ValueError(f"{name} is {found}")
        return found

    topic = facts[f"{ERROR_HEADERS}topic"].decode()
    return Earlier(
        source=TopicPartition(topic, number("partition")),
        offset=number("offset"),
        timestamp=number("timestamp"),
        attempts=max(0, number("attempts")),
        first_failure_at=number("first_failure") / 1000,
        delays_used=max(0, number("retry")) if RETRY_HEADER in facts else 0,
        sent_back=sent_back_in(facts),
    )
