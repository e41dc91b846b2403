"""Prints dead letters, one by one or grouped, for `streamapp dlq list|show|stats|export`."""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import typer

from streamapp.brokers.protocols import Admin, ReadingBroker, TopicDescription
from streamapp.cli.asked_letters import Asked
from streamapp.cli.configured import configured
from streamapp.cli.kafka import kafka_broker, started_admin
from streamapp.cli.output import Report, print_json, print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.clock import SystemClock
from streamapp.configuration.sections import CliSettings
from streamapp.dead_letter_tools.reading import (
    ends_of_letters,
    read_ledger,
    read_letters,
    read_records,
)
from streamapp.errors import ConfigurationError, TopicError
from streamapp.letters.dialects import read_letter
from streamapp.letters.groups import Group, Groups
from streamapp.letters.ledger import LedgerEntry, LetterState
from streamapp.letters.letter import Letter
from streamapp.observability.logs import configure_logging
from streamapp.record import TopicPartition

_HEADINGS = ("letter", "failed", "stage", "reason", "error", "fingerprint", "attempts", "replays")
_STATS_HEADINGS = (
    "letters",
    "stage",
    "reason",
    "error",
    "fingerprint",
    "first",
    "last",
    "left",
    "sample",
)
_UNKNOWN = "-"
_NOTHING = "There are no such dead letters."
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Found:
    """A letter with what was done with it."""

    letter: Letter
    entry: LedgerEntry


def print_letters(
    asked: Asked, *, most: int, show_payload: bool, output: OutputFormat | None
) -> None:
    """List the letters that are asked for, at most so many."""
    configure_logging("WARNING")
    found, count = asyncio.run(_first(asked, most))
    report = Report(
        [as_json(one, show_payload=show_payload) for one in found],
        (*_HEADINGS, *(("key", "value") if show_payload else ())),
        [_row(one, show_payload=show_payload) for one in found],
        _NOTHING,
    )
    print_report(report, _settings(), output)
    if count > len(found):
        typer.echo(f"{count - len(found):,} more are not shown; see --most", err=True)


def print_letter(address: str, *, show_payload: bool, bootstrap_servers: str | None) -> None:
    """Show the letter at this place.

    Raises:
        ConfigurationError: that is no place.
        TopicError: there is no such topic, or no such letter.
    """
    configure_logging("WARNING")
    topic, partition, offset = _parsed(address)
    one = asyncio.run(_at(kafka_broker(bootstrap_servers), topic, partition, offset))
    print_json(as_json(one, show_payload=show_payload))


def print_stats(asked: Asked, *, output: OutputFormat | None) -> None:
    """Show the letters that are asked for by fingerprint."""
    configure_logging("WARNING")
    groups, topics = asyncio.run(_grouped(asked))
    now_ms = int(SystemClock().time() * 1000)
    left = [one.seconds_left(topics[one.sample.place.topic].retention_ms, now_ms) for one in groups]
    report = Report(
        [_group_as_json(one, seconds) for one, seconds in zip(groups, left, strict=True)],
        _STATS_HEADINGS,
        [_group_row(one, seconds) for one, seconds in zip(groups, left, strict=True)],
        _NOTHING,
    )
    print_report(report, _settings(), output)


def export_letters(asked: Asked, to: Path | None) -> None:
    """Write the letters that are asked for as JSON lines.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    configure_logging("WARNING")
    with _opened(to) as stream:
        count = asyncio.run(_write_all(asked, stream))
    typer.echo(f"{count:,} dead letters", err=True)


async def letters_of(
    asked: Asked, broker: ReadingBroker, admin: Admin, topics: list[str]
) -> AsyncIterator[Found]:
    """The letters that are asked for, topic after topic."""
    selection = asked.selection()
    for topic in topics:
        ledger = await read_ledger(broker, admin, topic)
        ends = await ends_of_letters(admin, topic)
        async with aclosing(read_letters(broker, ends)) as letters:
            async for letter in letters:
                entry = ledger.entry_of(letter)
                if asked.is_asked_for(entry.state) and selection.matches(letter):
                    yield Found(letter, entry)


def as_json(found: Found, *, show_payload: bool) -> dict[str, Any]:
    """A letter as plain values; bytes are base64, and only there if they are asked for."""
    letter, entry, told = found.letter, found.entry, found.letter.told
    data: dict[str, Any] = {
        "topic": letter.place.topic,
        "partition": letter.place.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp_ms,
        "dialect": told.dialect.value,
        "pipeline": told.pipeline,
        "stage": told.stage,
        "reason": told.reason,
        "error": told.error,
        "message": told.message,
        "fingerprint": told.fingerprint,
        "attempts": told.attempts,
        "first_failure": told.first_failure_ms,
        "last_failure": told.last_failure_ms,
        "original": {
            "topic": told.topic,
            "partition": told.partition,
            "offset": told.offset,
            "timestamp": told.timestamp_ms,
        },
        "replays": told.sent_back.times,
        "state": entry.state.value,
    }
    if entry.state is not LetterState.OPEN:
        data["done"] = {"at": entry.at_ms, "why": entry.why, "replay": entry.replay}
    if show_payload:
        data["key"] = _base64(letter.key)
        data["value"] = _base64(letter.value)
        data["headers"] = [[name, _base64(content)] for name, content in letter.headers]
    else:
        data["headers"] = [name for name, _ in letter.original_headers]
        data["value_bytes"] = None if letter.value is None else len(letter.value)
    return data


def time_text(milliseconds: int | None) -> str:
    """A time in UTC, such as `2026-11-28 10:00:00`."""
    if milliseconds is None:
        return _UNKNOWN
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, OSError, ValueError):  # not written by us
        return _UNKNOWN


def left_text(seconds: float | None) -> str:
    """How long something is kept, such as `6.5 d`."""
    if seconds is None:
        return "forever"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h" if seconds < _DAY else f"{seconds / _DAY:.1f} d"


def stage_text(letter: Letter) -> str:
    """Pipeline and stage of a letter, or who wrote it."""
    told = letter.told
    return ".".join(filter(None, (told.pipeline, told.stage))) or told.dialect.value


async def _first(asked: Asked, most: int) -> tuple[list[Found], int]:
    """The first letters, and how many there are."""
    shown: list[Found] = []
    count = 0
    broker = asked.broker()
    async with started_admin(broker) as admin:
        topics = await asked.dead_letter_topics(admin)
        async for found in letters_of(asked, broker, admin, topics):
            count += 1
            if count <= most:
                shown.append(found)
    return shown, count


async def _at(broker: ReadingBroker, topic: str, partition: int, offset: int) -> Found:
    async with started_admin(broker) as admin:
        ends = await ends_of_letters(admin, topic)
        ledger = await read_ledger(broker, admin, topic)
        place = TopicPartition(topic, partition)
        if offset < ends.get(place, 0):
            one = read_records(broker, {place: offset + 1}, starts={place: offset})
            async with aclosing(one) as records:
                async for _, record in records:
                    letter = read_letter(place, record)
                    return Found(letter, ledger.entry_of(letter))
    raise TopicError(
        f"there is no dead letter at {topic}:{partition}:{offset}; it may have been deleted by"
        " retention"
    )


async def _grouped(asked: Asked) -> tuple[list[Group], Mapping[str, TopicDescription]]:
    groups = Groups()
    broker = asked.broker()
    async with started_admin(broker) as admin:
        topics = await asked.dead_letter_topics(admin)
        async for found in letters_of(asked, broker, admin, topics):
            groups.add(found.letter)
        return groups.largest_first(), await admin.describe_topics(topics)


async def _write_all(asked: Asked, stream: BinaryIO) -> int:
    count = 0
    broker = asked.broker()
    async with started_admin(broker) as admin:
        topics = await asked.dead_letter_topics(admin)
        async for found in letters_of(asked, broker, admin, topics):
            line = orjson.dumps(as_json(found, show_payload=True), option=orjson.OPT_APPEND_NEWLINE)
            stream.write(line)
            count += 1
    return count


def _row(found: Found, *, show_payload: bool) -> tuple[str, ...]:
    letter, told = found.letter, found.letter.told
    payload = (_text(letter.key), _text(letter.value)) if show_payload else ()
    return (
        letter.address,
        time_text(letter.failed_ms),
        stage_text(letter),
        told.reason or _UNKNOWN,
        told.error or _UNKNOWN,
        told.fingerprint or _UNKNOWN,
        _UNKNOWN if told.attempts is None else f"{told.attempts}",
        f"{told.sent_back.times}",
        *payload,
    )


def _group_row(group: Group, seconds_left: float | None) -> tuple[str, ...]:
    told = group.sample.told
    return (
        f"{group.count:,}",
        stage_text(group.sample),
        told.reason or _UNKNOWN,
        told.error or _UNKNOWN,
        told.fingerprint or _UNKNOWN,
        time_text(group.first_ms),
        time_text(group.last_ms),
        left_text(seconds_left),
        group.sample.address,
    )


def _group_as_json(group: Group, seconds_left: float | None) -> dict[str, Any]:
    told = group.sample.told
    return {
        "count": group.count,
        "topic": group.sample.place.topic,
        "dialect": told.dialect.value,
        "pipeline": told.pipeline,
        "stage": told.stage,
        "reason": told.reason,
        "error": told.error,
        "fingerprint": told.fingerprint,
        "first": group.first_ms,
        "last": group.last_ms,
        "seconds_left": seconds_left,
        "sample": group.sample.address,
    }


def _settings() -> CliSettings:
    """Settings of the configuration file, or the defaults."""
    return configured(None).configuration.cli_settings


def _parsed(address: str) -> tuple[str, int, int]:
    topic, _, rest = address.partition(":")
    partition, _, offset = rest.partition(":")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        raise ConfigurationError(
            f"{address!r} is no place of a dead letter: give TOPIC:PARTITION:OFFSET, as `streamapp"
            " dlq list` shows it"
        )
    return topic, int(partition), int(offset)


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _text(content: bytes | None) -> str:
    return _UNKNOWN if content is None else content.decode(errors="replace")


@contextmanager
def _opened(to: Path | None) -> Iterator[BinaryIO]:
    if to is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    open_file: Callable[[str], BinaryIO] = to.open  # type: ignore[assignment]  # by its mode
    try:
        stream = open_file("wb")
    except OSError as error:
        raise ConfigurationError(f"{to}: the file cannot be written: {error.strerror}") from error
    with stream:
        yield stream
