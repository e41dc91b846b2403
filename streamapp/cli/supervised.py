"""A worker's connection to its supervisor: reports that it is up, and drains on request."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import typer

from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.signals import leave
from streamapp.observability.logs import LogFormat, current_format, log_line
from streamapp.supervisor.connection import SupervisorConnection

_BEAT_SECONDS = 2.0
"""Time between two signs of life."""

_OVERDUE_SECONDS = 15.0
"""How long a worker whose supervisor is gone may take beyond its drain deadline."""


class Supervised:
    """The supervisor of this process.

    Args:
        given: `NUMBER:DESCRIPTOR`, which the supervisor put on the command line.
        drain_seconds: drain deadline.

    Attributes:
        number: number of this worker.
    """

    def __init__(self, given: str, drain_seconds: float) -> None:
        number, _, descriptor = given.partition(":")
        self.number = int(number)
        self._is_up = asyncio.Event()
        self._link = SupervisorConnection(
            int(descriptor),
            on_overdue=lambda: leave(
                ExitCode.ABANDONED, "the supervisor is gone and this worker did not drain in time"
            ),
            overdue_seconds=drain_seconds + _OVERDUE_SECONDS,
        )
        for handler in logging.getLogger().handlers:
            handler.addFilter(self._name_worker)

    def say(self, line: str) -> None:
        """Print a line with the number of the worker: several workers share the output."""
        is_json = current_format() is LogFormat.JSON
        shown = line if is_json else f"worker {self.number}: {line}"
        typer.echo(log_line(shown, worker=self.number))

    def report_up(self, web_port: int | None) -> None:
        """Tell the supervisor that this worker is up, and on which port its metrics are."""
        self._link.report_up(web_port)
        self._is_up.set()

    async def show_life(self) -> None:
        """Show the supervisor that the event loop runs, once it is up, until cancelled."""
        await self._is_up.wait()
        while True:
            self._link.report_alive()
            await asyncio.sleep(_BEAT_SECONDS)

    def on_drain(self, stop: Callable[[], None]) -> None:
        """Call `stop` on the running event loop when the supervisor asks for a drain."""
        self._link.on_drain(partial(_on_loop, asyncio.get_running_loop(), stop))

    def _name_worker(self, record: logging.LogRecord) -> bool:
        record.worker = self.number
        return True


def _on_loop(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: the worker has already ended
        loop.call_soon_threadsafe(stop)
