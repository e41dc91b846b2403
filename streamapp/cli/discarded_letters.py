"""Marks dead letters as done with, for `streamapp dlq discard`."""

import asyncio
from contextlib import aclosing

import typer

from streamapp.cli.asked_letters import Asked
from streamapp.cli.kafka import started_admin
from streamapp.cli.letters_progress import progress_bar
from streamapp.clock import SystemClock
from streamapp.dead_letter_tools.discarding import DISCARDABLE, discard
from streamapp.dead_letter_tools.reading import ends_of_letters, read_ledger, read_letters
from streamapp.dead_letter_tools.sending import LedgerWriter
from streamapp.errors import ConfigurationError
from streamapp.observability.logs import configure_logging


def discard_letters(asked: Asked, *, why: str, yes: bool) -> None:
    """Tell how many letters would be discarded, and discard them if that is said.

    Raises:
        ConfigurationError: no reason is given.
    """
    configure_logging("WARNING")
    if not why.strip():
        raise ConfigurationError("--why is empty; say why the letters are discarded")
    if yes:
        asyncio.run(_discard(asked, why))
        return
    count = asyncio.run(_count(asked))
    typer.echo(f"Would discard {count:,} dead letters.")
    if count:
        typer.echo("Nothing was discarded; --yes does it.")


async def _count(asked: Asked) -> int:
    count, broker, selection = 0, asked.broker(), asked.selection()
    async with started_admin(broker) as admin:
        for topic in await asked.dead_letter_topics(admin):
            ledger = await read_ledger(broker, admin, topic)
            ends = await ends_of_letters(admin, topic)
            async with aclosing(read_letters(broker, ends)) as letters:
                async for letter in letters:
                    is_open = ledger.entry_of(letter).state in DISCARDABLE
                    count += is_open and selection.matches(letter)
    return count


async def _discard(asked: Asked, why: str) -> None:
    broker, selection = asked.broker(), asked.selection()
    async with started_admin(broker) as admin:
        for topic in await asked.dead_letter_topics(admin):
            ends = await ends_of_letters(admin, topic)
            writer = LedgerWriter(broker, admin, topic)
            try:
                await writer.start()
                with progress_bar("discarding", sum(ends.values())) as advance:
                    count = await discard(
                        broker,
                        writer,
                        selection,
                        ends,
                        SystemClock(),
                        why=why,
                        on_discarded=advance,
                    )
            finally:
                await writer.stop()
            typer.echo(f"Discarded {count:,} dead letters of {topic}.")
