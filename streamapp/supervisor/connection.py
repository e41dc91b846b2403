"""The socket between a supervisor and a worker.

The worker reports once that it is up and on which port it serves its metrics, and from then on
every other second that its event loop runs. The supervisor sends `drain`. The end of the socket
also means `drain`: on every Unix the kernel closes it when the supervisor ends, even if it is
killed. No signals are used: a service manager sends SIGTERM to every process of a service, and a
second signal would end the worker at once.
"""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import orjson

DRAIN = b"drain\n"

ALIVE = b"alive\n"
"""The line by which a worker shows that its event loop runs."""


def up_line(web_port: int | None) -> bytes:
    """The line by which a worker reports that it is up, with the port that it serves on, if any."""
    return orjson.dumps({"web_port": web_port}) + b"\n"


def web_port_of(line: bytes) -> int | None:
    """The port in a line that `up_line` made."""
    port: int | None = orjson.loads(line)["web_port"]
    return port


class SupervisorConnection:
    """The worker's end of the socket.

    A thread reads it, so that a worker whose event loop is blocked also ends when its supervisor is
    gone.

    Args:
        descriptor: file descriptor of the inherited socket.
        on_overdue: ends the process; called when it has not drained in time.
        overdue_seconds: time from the end of the supervisor to this call.
    """

    def __init__(
        self, descriptor: int, *, on_overdue: Callable[[], object], overdue_seconds: float
    ) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - processes that an agent starts do not get it
        self._socket = socket.socket(fileno=descriptor)
        self._on_overdue = on_overdue
        self._overdue_seconds = overdue_seconds
        self._lock = threading.Lock()
        self._drain_requested = False
        self._drain: Callable[[], object] | None = None
        threading.Thread(target=self._read, name="supervisor", daemon=True).start()

    def on_drain(self, drain: Callable[[], object]) -> None:
        """Call `drain`, in any thread, when a drain is requested; at once if one was requested."""
        with self._lock:
            self._drain = drain
            requested = self._drain_requested
        if requested:
            drain()

    def report_up(self, web_port: int | None) -> None:
        """Report that the worker is up; does nothing if the supervisor is gone."""
        try:
            self._socket.sendall(up_line(web_port))
        except OSError:
            return  # the thread notices the end of the supervisor

    def report_alive(self) -> None:
        """Show that the event loop runs; never waits for a supervisor that does not read."""
        with suppress(OSError):  # it is gone, which the thread notices, or frozen
            self._socket.send(ALIVE, socket.MSG_DONTWAIT)

    def _read(self) -> None:
        asked = True
        while asked:
            try:
                asked = bool(self._socket.recv(64))
            except OSError:
                asked = False
            with self._lock:
                self._drain_requested = True
                drain = self._drain
            if drain is not None:
                drain()
        threading.Event().wait(self._overdue_seconds)
        self._on_overdue()
