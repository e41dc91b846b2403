"""A record that was found, and what it carries of where it is from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from streamapp.errors import ConfigurationError
from streamapp.letters.dialects import read_letter
from streamapp.letters.letter import Letter
from streamapp.pipeline.trail import header_in, trail_from
from streamapp.record import (
    CONTEXT_HEADER,
    ERROR_HEADERS,
    EVENT_TIME_HEADER,
    Headers,
    Record,
    TopicPartition,
    address,
    event_timestamp,
)

_TRACE_HEADERS = ("traceparent", "tracestate")
_PARTS_OF_TRACE = 4


class Address(NamedTuple):
    """Where a record stands."""

    place: TopicPartition
    offset: int

    def __str__(self) -> str:
        return address(self.place, self.offset)


def parsed_address(text: str) -> Address:
    """What `TOPIC:PARTITION:OFFSET` means.

    Raises:
        ConfigurationError: it is no such text.
    """
    topic, _, rest = text.partition(":")
    partition, _, offset = rest.partition(":")
    if not (topic and _is_number(partition) and _is_number(offset)):
        raise ConfigurationError(
            f"{text!r} is no place of a record: give TOPIC:PARTITION:OFFSET, such as"
            " playback.raw:0:17"
        )
    return Address(TopicPartition(topic, int(partition)), int(offset))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < len(str(2**63))


@dataclass(frozen=True)
class Found:
    """A record with its place.

    Attributes:
        place: topic and partition.
        record: the record; of one that was deleted, what others say of it.
        is_gone: whether it was deleted.
    """

    place: TopicPartition
    record: Record
    is_gone: bool = False

    @property
    def address(self) -> Address:
        """Where it stands."""
        return Address(self.place, self.record.offset)

    @property
    def event_ms(self) -> int:
        """When its event was, in milliseconds since the epoch; -1 if that is not known."""
        return event_timestamp(self.record)

    @cached_property
    def letter(self) -> Letter:
        """It as a dead letter, a retry or a replay, which all have the same headers."""
        return read_letter(self.place, self.record)

    @property
    def failed_at(self) -> Address | None:
        """Where the record of which its headers tell a failure was read; `None` without these."""
        told = self.letter.told
        if not told.topic or told.partition is None or told.offset is None:
            return None
        return Address(TopicPartition(told.topic, told.partition), told.offset)

    @cached_property
    def made_from(self) -> Address | None:
        """The record of which it was made, as its audit trail says; `None` if that says nothing."""
        content = header_in(self.record.headers)
        trail = None if content is None else trail_from(content)
        try:
            return None if trail is None or not trail.origin else parsed_address(trail.origin)
        except ConfigurationError:  # not written by us
            return None

    @cached_property
    def trace_id(self) -> bytes | None:
        """The id of its trace by W3C; `None` without one."""
        parts = self.headers_by_name.get("traceparent", b"").split(b"-")
        return parts[1] if len(parts) >= _PARTS_OF_TRACE else None

    @property
    def headers_by_name(self) -> Mapping[str, bytes]:
        """Contents of its headers by name."""
        return {name: content or b"" for name, content in self.record.headers}

    @cached_property
    def own_headers(self) -> Headers:
        """Its headers without those that stages and tracers add on the way."""
        return [
            (name, content)
            for name, content in self.record.headers
            if name not in (CONTEXT_HEADER, EVENT_TIME_HEADER, *_TRACE_HEADERS)
            and not name.startswith(ERROR_HEADERS)
        ]
