"""Prints dead letters one by one, for `streamapp dlq list|show`."""

import asyncio
from contextlib import aclosing

import typer

from streamapp.brokers.protocols import ReadingBroker
from streamapp.cli.asked_letters import Asked
from streamapp.cli.configured import configured
from streamapp.cli.found_letters import Found, letters_of, tell_unreadable
from streamapp.cli.kafka import kafka_broker, started_admin
from streamapp.cli.letter_json import as_json
from streamapp.cli.letter_text import (
    UNKNOWN,
    letter_lines,
    payload_text,
    stage_text,
    time_text,
)
from streamapp.cli.no_letters import nothing_found
from streamapp.cli.output import Report, chosen_format, print_json, print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.configuration.sections import CliSettings
from streamapp.dead_letter_tools.reading import ends_of_letters, read_ledger, read_records
from streamapp.errors import ConfigurationError, TopicError
from streamapp.letters.dialects import read_letter
from streamapp.letters.seen import Seen
from streamapp.observability.logs import configure_logging
from streamapp.record import TopicPartition

_HEADINGS = (
    "letter",
    "failed",
    "stage",
    "reason",
    "error",
    "place",
    "fingerprint",
    "attempts",
    "replays",
)
_PAYLOAD_HEADINGS = ("message", "key", "value")
_LEAST = ("stage", "attempts", "replays", "place", "fingerprint")


def print_letters(
    asked: Asked, *, most: int, show_payload: bool, output: OutputFormat | None
) -> None:
    """List the letters that are asked for, at most so many."""
    configure_logging("WARNING")
    seen = Seen()
    found, count = asyncio.run(_first(asked, most, seen))
    report = Report(
        [as_json(one, show_payload=show_payload) for one in found],
        (*_HEADINGS, *(_PAYLOAD_HEADINGS if show_payload else ())),
        [_row(one, show_payload=show_payload) for one in found],
        nothing_found(seen, asked.selection()),
        text=("error", "place", *_PAYLOAD_HEADINGS),
        least=_LEAST,
    )
    print_report(report, _settings(), output)
    tell_unreadable(seen)
    if count > len(found):
        typer.echo(f"{count - len(found):,} more are not shown; see --most", err=True)


def print_letter(
    address: str, *, show_payload: bool, bootstrap_servers: str | None, output: OutputFormat | None
) -> None:
    """Show the letter at this place.

    Raises:
        ConfigurationError: that is no place.
        TopicError: there is no such topic, or no such letter.
    """
    configure_logging("WARNING")
    topic, partition, offset = _parsed(address)
    one = asyncio.run(_at(kafka_broker(bootstrap_servers), topic, partition, offset))
    if chosen_format(_settings(), output) is OutputFormat.JSON:
        print_json(as_json(one, show_payload=show_payload))
        return
    for line in letter_lines(one, show_payload=show_payload):
        typer.echo(line)


async def _first(asked: Asked, most: int, seen: Seen) -> tuple[list[Found], int]:
    """The first letters, and how many there are."""
    shown: list[Found] = []
    count = 0
    broker = asked.broker()
    async with started_admin(broker) as admin:
        topics = await asked.dead_letter_topics(admin)
        async for found in letters_of(asked, broker, admin, topics, seen):
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


def _row(found: Found, *, show_payload: bool) -> tuple[str, ...]:
    letter, told = found.letter, found.letter.told
    payload = (
        (told.message or UNKNOWN, payload_text(letter.key), payload_text(letter.value))
        if show_payload
        else ()
    )
    return (
        letter.address,
        time_text(letter.failed_ms),
        stage_text(letter),
        told.reason or UNKNOWN,
        told.error or UNKNOWN,
        told.place or UNKNOWN,
        told.fingerprint or UNKNOWN,
        UNKNOWN if told.attempts is None else f"{told.attempts}",
        f"{found.replays}",
        *payload,
    )


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
