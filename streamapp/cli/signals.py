"""SIGTERM and SIGINT: the first signal drains, the second ends the process at once."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.say import failure_line
from streamapp.observability.logs import log_line

_SHOW_CURSOR = b"\x1b[?25h"


@contextmanager
def stop_on_signal(
    stop: Callable[[], None], *, message: str, at_once: Callable[[], None] | None = None
) -> Iterator[None]:
    """Call `stop` on the event loop at the first signal; end the process at the second.

    The second signal loses nothing: what is not committed is read again. The handlers are the
    interpreter's and not the loop's: so the second signal works while an agent blocks the loop.

    Args:
        stop: asks for a clean end; returns at once.
        message: printed at the first signal.
        at_once: called at the second signal before the process ends; must not wait for the loop.
    """
    loop = asyncio.get_running_loop()
    asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            if at_once is not None:
                at_once()
            leave(ExitCode.ABANDONED, "ended at once; what was in flight will be read again")
        asked = True
        loop.call_soon_threadsafe(_begin, stop, message)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # After a first signal the process is about to end cleanly: a late second signal must
            # not turn that into a failure.
            signal.signal(number, signal.SIG_IGN if asked else handler)


def _begin(stop: Callable[[], None], message: str) -> None:
    # Not with click: the live table on the terminal would cover the line.
    sys.stderr.write(log_line(f"{message}; a second signal ends at once") + "\n")
    sys.stderr.flush()
    stop()


def leave(code: ExitCode, why: str) -> NoReturn:
    """End the process without waiting for anything that still runs in it."""
    # Written without buffers: nothing else in the process can be relied on any more.
    if os.isatty(1):
        os.write(1, _SHOW_CURSOR)
    os.write(2, f"{failure_line(why)}\n".encode())
    os._exit(code)
