"""Marks dead letters as done with, for `streamapp dlq discard`."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import typer

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin
from streamapp.cli.asked_letters import Asked
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.failure_text import failure_text
from streamapp.cli.kafka import started_admin
from streamapp.cli.letters_progress import OnDone, progress_bar
from streamapp.cli.replay_text import MOST_REASONS, unreadable_lines
from streamapp.cli.signals import stop_on_signal
from streamapp.clock import SystemClock
from streamapp.configuration.printable import printable
from streamapp.dead_letter_tools.discarding import discard, discardable
from streamapp.dead_letter_tools.fates import Place
from streamapp.dead_letter_tools.reading import ends_of_letters, read_ledger
from streamapp.dead_letter_tools.sending import LedgerWriter
from streamapp.errors import ConfigurationError, UnreadableRecordError
from streamapp.letters.groups import Groups
from streamapp.observability.logs import configure_logging
from streamapp.record import TopicPartition

_STOPPING = "Stopping: what was discarded stands in the ledger, and another call goes on behind it"


@dataclass(slots=True)
class _Chosen:
    """The letters that are meant.

    Attributes:
        groups: they, by fingerprint.
        first: their places, if their number is limited.
        ends: where the topics ended that have such letters.
        unreadable: why records cannot be read.
    """

    groups: Groups = field(default_factory=Groups)
    first: set[Place] | None = None
    ends: dict[str, Mapping[TopicPartition, int]] = field(default_factory=dict)
    unreadable: list[UnreadableRecordError] = field(default_factory=list)


def discard_letters(
    asked: Asked, *, why: str, limit: int | None, show_payload: bool, yes: bool
) -> None:
    """Tell how many letters would be discarded, and discard them if that is said.

    Raises:
        ConfigurationError: no reason is given.
    """
    configure_logging("WARNING")
    if not why.strip():
        raise ConfigurationError("--why is empty; say why the letters are discarded")
    asyncio.run(_Discard(asked, why, limit).run(show_payload=show_payload, yes=yes))


class _Discard:
    """One discard of dead letters."""

    def __init__(self, asked: Asked, why: str, limit: int | None) -> None:
        self._asked = asked
        self._why = why
        self._limit = limit
        self._selection = asked.selection()
        self._broker: KafkaBroker = asked.broker()
        self._is_stopping = False

    async def run(self, *, show_payload: bool, yes: bool) -> None:
        async with started_admin(self._broker) as admin:
            chosen = await self._choose(admin)
            for line in _lines(chosen, show_payload=show_payload):
                typer.echo(printable(line))
            if not chosen.groups.count:
                return
            if not yes:
                typer.echo("Nothing was discarded; --yes does it.")
                return
            with (
                progress_bar("discarding", chosen.groups.count) as advance,
                stop_on_signal(self._stop, message=_STOPPING),
            ):
                await self._discard(admin, chosen, advance)
        if self._is_stopping:
            raise typer.Exit(ExitCode.LETTERS_INTERRUPTED)

    async def _choose(self, admin: Admin) -> _Chosen:
        """The letters that would be discarded; nothing is written for topics without any."""
        chosen = _Chosen(first=None if self._limit is None else set())
        for topic in await self._asked.dead_letter_topics(admin):
            ledger = await read_ledger(self._broker, admin, topic)
            ends = await ends_of_letters(admin, topic)
            letters = discardable(
                self._broker, ledger, self._selection, ends, chosen.unreadable.append
            )
            async with aclosing(letters):
                async for letter in letters:
                    if self._limit is not None and chosen.groups.count >= self._limit:
                        return chosen
                    chosen.groups.add(letter)
                    if chosen.first is not None:
                        chosen.first.add((letter.place, letter.offset))
                    chosen.ends[topic] = ends
        return chosen

    async def _discard(self, admin: Admin, chosen: _Chosen, advance: OnDone) -> None:
        for topic, ends in chosen.ends.items():
            if self._is_stopping:
                return
            writer = LedgerWriter(self._broker, admin, topic)
            try:
                await writer.start()
                count = await discard(
                    self._broker,
                    writer,
                    self._selection,
                    ends,
                    SystemClock(),
                    why=self._why,
                    only=chosen.first,
                    on_discarded=advance,
                    is_stopping=lambda: self._is_stopping,
                )
            finally:
                await writer.stop()
            typer.echo(f"Discarded {count:,} dead letters of {topic}.")

    def _stop(self) -> None:
        self._is_stopping = True


def _lines(chosen: _Chosen, *, show_payload: bool) -> Iterator[str]:
    """What would be discarded, for people."""
    yield f"Would discard {chosen.groups.count:,} dead letters."
    groups = chosen.groups.largest_first()
    for group in groups[:MOST_REASONS]:
        told = group.sample.told
        stage = ".".join(filter(None, (told.pipeline, told.stage))) or told.dialect.value
        what = failure_text(told.error, told.place, told.message, show_payload=show_payload)
        yield (
            f"  {group.count:,} of {stage}, {told.reason or 'no reason'} ({told.fingerprint}), such"
            f" as {group.sample.address}: {what}"
        )
    if len(groups) > MOST_REASONS:
        yield f"  and {len(groups) - MOST_REASONS} other kinds"
    yield from unreadable_lines(chosen.unreadable)
