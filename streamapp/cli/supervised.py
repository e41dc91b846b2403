"""What a worker owes its supervisor, if it has one: a word when it is up, and obedience."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import typer

from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.signals import leave
from streamapp.supervisor.link import SupervisorLink

_OVERDUE_SECONDS = 15.0
"""What a worker without a supervisor may take beyond its drain."""


class Supervised:
    """The supervisor of this process.

    Args:
        given: `NUMBER:DESCRIPTOR`, as the supervisor has put it on the command line.
        drain_seconds: deadline of work in flight.

    Attributes:
        number: of this worker.
    """

    def __init__(self, given: str, drain_seconds: float) -> None:
        number, _, descriptor = given.partition(":")
        self.number = int(number)
        self._link = SupervisorLink(
            int(descriptor),
            on_overdue=lambda: leave(
                ExitCode.ABANDONED, "the supervisor is gone and this worker did not drain in time"
            ),
            overdue_seconds=drain_seconds + _OVERDUE_SECONDS,
        )
        for handler in logging.getLogger().handlers:
            handler.addFilter(self._name_worker)

    def say(self, line: str) -> None:
        """Write a line that names the worker: several write to one place."""
        typer.echo(f"worker {self.number}: {line}")

    def up(self, web_port: int | None) -> None:
        """Say that this worker is up, and where its metrics are."""
        self._link.tell_up(web_port)

    def drains(self, stop: Callable[[], None]) -> None:
        """Call this on the running event loop when the worker is to drain."""
        self._link.on_drain(partial(_on_loop, asyncio.get_running_loop(), stop))

    def _name_worker(self, record: logging.LogRecord) -> bool:
        record.worker = self.number
        return True


def _on_loop(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: it has ended already
        loop.call_soon_threadsafe(stop)
