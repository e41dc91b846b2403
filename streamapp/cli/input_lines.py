"""Lines of a file or of standard input, read beside the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

from streamapp.errors import ConfigurationError

MOST_BYTES = 16 * 1024 * 1024
"""Longest line."""

_MOST_AHEAD = 100
"""Lines that are read ahead."""

_Line = tuple[int, bytes] | Exception | None


async def input_lines(stream: BinaryIO) -> AsyncIterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1.

    A thread reads them, so that agents go on while a terminal or a pipe has nothing to read. It is
    not waited for: nobody can interrupt it while it reads.

    Raises:
        ConfigurationError: a line is too long.
        OSError: the file cannot be read.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[_Line] = asyncio.Queue(_MOST_AHEAD)

    def put(line: _Line) -> bool:
        try:
            asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        except Exception:  # noqa: BLE001 - the loop has ended: nobody wants lines any more
            return False
        return True

    threading.Thread(target=_read, args=(stream, put), name="input", daemon=True).start()
    while (line := await lines.get()) is not None:
        if isinstance(line, Exception):
            raise line
        yield line


def _read(stream: BinaryIO, put: Callable[[_Line], bool]) -> None:
    number = 0
    try:
        while line := stream.readline(MOST_BYTES + 1):
            number += 1
            if len(line) > MOST_BYTES:
                raise ConfigurationError(  # noqa: TRY301 - told where the lines are read
                    f"line {number} of the input is longer than {MOST_BYTES // 1024**2} MiB"
                )
            if line.strip() and not put((number, line.strip())):
                return
    except Exception as error:  # noqa: BLE001 - raised where the lines are read
        put(error)
        return
    put(None)
