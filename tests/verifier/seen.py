"""What was found on the topics, read from plain Kafka records."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ERROR_HEADERS = "streamapp.error."
CONTEXT = "streamapp.context"
EVENT_ID = "event-id"

Place = tuple[str, int, int]
"""Topic, partition and offset."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A record byte for byte."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A record of the sink or of the alerts.

    Attributes:
        place: where it stands.
        key: its key, as text.
        event_id: what its header says.
        value_event_id, session_id, sequence, quality: what its value says.
    """

    place: Place
    key: str
    event_id: str
    value_event_id: str
    session_id: str
    sequence: int
    quality: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of a dead-letter topic.

    Attributes:
        place: where it stands.
        event_id: what its header says.
        stage, reason: what its error headers say.
        source: the record that failed, as its error headers name it.
        raw: the record without its error headers, and without that of its context.
    """

    place: Place
    event_id: str
    stage: str
    reason: str
    source: Place
    raw: Raw


def raw_of(record: Any) -> Raw:
    """A record of the client as bytes only, without the context, to which stages add."""
    original = tuple(pair for pair in record.headers if pair[0] != CONTEXT)
    return Raw(record.key, record.value, original)


def output_of(record: Any) -> Output:
    """Read a record of the sink or of the alerts.

    Raises:
        ValueError, KeyError: it is no scored event.
    """
    value = json.loads(record.value)
    return Output(
        place=(record.topic, record.partition, record.offset),
        key=(record.key or b"").decode(),
        event_id=_event_id(record.headers),
        value_event_id=value["event_id"],
        session_id=value["session_id"],
        sequence=value["sequence"],
        quality=value["quality"],
    )


def dead_letter_of(record: Any) -> DeadLetter:
    """Read a record of a dead-letter topic.

    Raises:
        ValueError, KeyError: its headers are not those of a dead letter.
    """
    told = {
        name.removeprefix(ERROR_HEADERS): content.decode()
        for name, content in record.headers
        if name.startswith(ERROR_HEADERS)
    }
    ours = (ERROR_HEADERS, CONTEXT)
    original = tuple(pair for pair in record.headers if not pair[0].startswith(ours))
    return DeadLetter(
        place=(record.topic, record.partition, record.offset),
        event_id=_event_id(record.headers),
        stage=told["stage"],
        reason=told["reason"],
        source=(told["topic"], int(told["partition"]), int(told["offset"])),
        raw=Raw(record.key, record.value, original),
    )


def _event_id(headers: Sequence[tuple[str, bytes]]) -> str:
    found = [content.decode() for name, content in headers if name == EVENT_ID]
    if len(found) != 1:
        raise ValueError(f"{len(found)} headers {EVENT_ID!r}, not one")
    return found[0]
