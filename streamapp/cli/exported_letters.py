"""Writes whole dead letters to a file, for `streamapp dlq export`."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import orjson
import typer

from streamapp.cli.asked_letters import Asked
from streamapp.cli.found_letters import letters_of, tell_unreadable
from streamapp.cli.kafka import started_admin
from streamapp.cli.letter_json import as_json
from streamapp.cli.no_letters import nothing_found
from streamapp.errors import ConfigurationError
from streamapp.letters.seen import Seen
from streamapp.observability.logs import configure_logging


def export_letters(asked: Asked, to: Path | None, *, replace: bool) -> None:
    """Write the letters that are asked for as JSON lines.

    Args:
        asked: which.
        to: the file; `None` for standard output.
        replace: whether a file that is there already is replaced.

    Raises:
        ConfigurationError: the file cannot be written, or is there already.
    """
    configure_logging("WARNING")
    seen = Seen()
    with _opened(to, replace=replace) as stream:
        count = asyncio.run(_write_all(asked, stream, seen))
    tell_unreadable(seen)
    if not count:
        typer.echo(nothing_found(seen, asked.selection()), err=True)
    typer.echo(f"Wrote {count:,} dead letters to {to or 'standard output'}.", err=True)


async def _write_all(asked: Asked, stream: BinaryIO, seen: Seen) -> int:
    count = 0
    broker = asked.broker()
    async with started_admin(broker) as admin:
        topics = await asked.dead_letter_topics(admin)
        async for found in letters_of(asked, broker, admin, topics, seen):
            line = orjson.dumps(as_json(found, show_payload=True), option=orjson.OPT_APPEND_NEWLINE)
            stream.write(line)
            count += 1
    return count


@contextmanager
def _opened(to: Path | None, *, replace: bool) -> Iterator[BinaryIO]:
    if to is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    open_file: Callable[[str], BinaryIO] = to.open  # type: ignore[assignment]  # by its mode
    try:
        stream = open_file("wb" if replace else "xb")
    except FileExistsError as error:
        raise ConfigurationError(
            f"{to}: there is such a file already; give another one, or --replace"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{to}: the file cannot be written: {error.strerror}") from error
    try:
        with stream:
            yield stream
    except BaseException:
        if not replace:  # what is written in part is not there when it is tried again
            to.unlink(missing_ok=True)
        raise
