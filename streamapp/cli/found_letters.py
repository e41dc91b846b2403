"""Finds the dead letters that a command is asked about."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import typer

from streamapp.brokers.protocols import Admin, ReadingBroker
from streamapp.cli.asked_letters import Asked
from streamapp.cli.replay_text import unreadable_lines
from streamapp.dead_letter_tools.reading import ends_of_letters, read_ledger, read_letters
from streamapp.letters.ledger import LedgerEntry, LetterState
from streamapp.letters.letter import Letter
from streamapp.letters.seen import Seen


@dataclass(frozen=True, slots=True)
class Found:
    """A letter with what was done with it."""

    letter: Letter
    entry: LedgerEntry

    @property
    def replays(self) -> int:
        """How often its record was sent back, by this letter or by those before it."""
        return self.letter.told.sent_back.times + (self.entry.state is LetterState.REPLAYED)


def tell_unreadable(seen: Seen) -> None:
    """Say on standard error which records could not be read, and so are not shown."""
    for line in unreadable_lines(seen.unreadable):
        typer.echo(line, err=True)


async def letters_of(
    asked: Asked, broker: ReadingBroker, admin: Admin, topics: list[str], seen: Seen
) -> AsyncIterator[Found]:
    """The letters that are asked for, topic after topic.

    Args:
        asked: which.
        broker: has them.
        admin: says where topics end.
        topics: dead-letter topics.
        seen: told of all that is read, also of what is not asked for.
    """
    selection = asked.selection()
    for topic in topics:
        ledger = await read_ledger(broker, admin, topic)
        ends = await ends_of_letters(admin, topic)
        left_out = seen.unreadable.append
        async with aclosing(read_letters(broker, ends, on_unreadable=left_out)) as letters:
            async for letter in letters:
                entry, is_meant = ledger.entry_of(letter), selection.matches(letter)
                seen.take(letter, entry, is_meant=is_meant)
                if is_meant and asked.is_asked_for(entry.state):
                    yield Found(letter, entry)
