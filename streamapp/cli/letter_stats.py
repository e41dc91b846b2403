"""Prints dead letters by what they have in common, for `streamapp dlq stats`."""

import asyncio
import shlex
from collections.abc import Mapping
from typing import Any

import typer

from streamapp.brokers.protocols import TopicDescription
from streamapp.cli.asked_letters import Asked
from streamapp.cli.configured import configured
from streamapp.cli.found_letters import letters_of, tell_unreadable
from streamapp.cli.kafka import started_admin
from streamapp.cli.letter_json import iso_time
from streamapp.cli.letter_text import UNKNOWN, left_text, stage_text, time_text
from streamapp.cli.no_letters import nothing_found
from streamapp.cli.output import Report, chosen_format, print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.clock import SystemClock
from streamapp.letters.groups import Group, Groups
from streamapp.letters.seen import Seen
from streamapp.observability.logs import configure_logging

HEADINGS = (
    "letters",
    "stage",
    "reason",
    "error",
    "place",
    "fingerprint",
    "first",
    "last",
    "left",
    "sample",
)
TEXT = ("error", "place")
LEAST = ("first", "last", "stage", "left", "place", "reason", "fingerprint", "error")
"""Left out first on a narrow terminal; `sample` stays, since it is what the next command needs."""


def print_stats(asked: Asked, *, output: OutputFormat | None) -> None:
    """Show the letters that are asked for by fingerprint."""
    configure_logging("WARNING")
    seen = Seen()
    groups, topics = asyncio.run(_grouped(asked, seen))
    now_ms = int(SystemClock().time() * 1000)
    left = [one.seconds_left(topics[one.sample.place.topic].retention_ms, now_ms) for one in groups]
    report = Report(
        [_group_as_json(one, seconds) for one, seconds in zip(groups, left, strict=True)],
        HEADINGS,
        [group_row(one, seconds) for one, seconds in zip(groups, left, strict=True)],
        nothing_found(seen, asked.selection()),
        text=TEXT,
        least=LEAST,
    )
    settings = configured(None).configuration.cli_settings
    print_report(report, settings, output)
    tell_unreadable(seen)
    if groups and chosen_format(settings, output) is OutputFormat.TABLE:
        typer.echo(f"Next: {_next_command(groups[0], asked.options.bootstrap_servers)}")


def group_row(group: Group, seconds_left: float | None) -> tuple[str, ...]:
    """A group as cells of the table.

    Args:
        group: letters of one fingerprint.
        seconds_left: how long its oldest letter is kept; `None` for ever.
    """
    told = group.sample.told
    return (
        f"{group.count:,}",
        stage_text(group.sample),
        told.reason or UNKNOWN,
        told.error or UNKNOWN,
        told.place or UNKNOWN,
        told.fingerprint or UNKNOWN,
        time_text(group.first_ms),
        time_text(group.last_ms),
        left_text(seconds_left),
        group.sample.address,
    )


async def _grouped(asked: Asked, seen: Seen) -> tuple[list[Group], Mapping[str, TopicDescription]]:
    groups = Groups()
    broker = asked.broker()
    async with started_admin(broker) as admin:
        topics = await asked.dead_letter_topics(admin)
        async for found in letters_of(asked, broker, admin, topics, seen):
            groups.add(found.letter)
        return groups.largest_first(), await admin.describe_topics(topics)


def _next_command(group: Group, bootstrap_servers: str | None) -> str:
    """What shows a letter of the group."""
    words = ["streamapp", "dlq", "show", group.sample.address]
    if bootstrap_servers is not None:
        words += ["--bootstrap-servers", bootstrap_servers]
    return shlex.join(words)


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
        "place": told.place,
        "fingerprint": told.fingerprint,
        "first": iso_time(group.first_ms),
        "last": iso_time(group.last_ms),
        "seconds_left": seconds_left,
        "sample": group.sample.address,
    }
