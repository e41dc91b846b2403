"""The line between a supervisor and a worker: one socket that both hold, and one word each way.

The worker says once that it is up and where it serves its metrics. The supervisor says `drain`, and
the end of the socket means the same: the kernel closes it when the supervisor dies, however it
dies, on every Unix. Signals are left to the user: a service manager sends SIGTERM to every process
of a service, and a second one would end the worker at once.
"""

import os
import socket
import threading
from collections.abc import Callable

import orjson

DRAIN = b"drain\n"


def up_line(web_port: int | None) -> bytes:
    """What a worker says when it is up: the port that it serves on, if any."""
    return orjson.dumps({"web_port": web_port}) + b"\n"


def web_port_of(line: bytes) -> int | None:
    """The port of such a line."""
    port: int | None = orjson.loads(line)["web_port"]
    return port


class SupervisorLink:
    """The worker's end.

    A thread reads it, so that a worker whose event loop is blocked ends as well when its
    supervisor is gone.

    Args:
        descriptor: the inherited socket.
        on_overdue: ends the process when it should long have drained.
        overdue_seconds: how long after the end of the supervisor.
    """

    def __init__(
        self, descriptor: int, *, on_overdue: Callable[[], object], overdue_seconds: float
    ) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - not for what an agent starts
        self._socket = socket.socket(fileno=descriptor)
        self._on_overdue = on_overdue
        self._overdue_seconds = overdue_seconds
        self._lock = threading.Lock()
        self._told_to_drain = False
        self._drain: Callable[[], object] | None = None
        threading.Thread(target=self._read, name="supervisor", daemon=True).start()

    def on_drain(self, drain: Callable[[], object]) -> None:
        """Call this, in any thread, when the worker is to drain; at once if it has been told."""
        with self._lock:
            self._drain = drain
            told = self._told_to_drain
        if told:
            drain()

    def report_up(self, web_port: int | None) -> None:
        """Say that the worker is up; a supervisor that is gone does not hear it."""
        try:
            self._socket.sendall(up_line(web_port))
        except OSError:
            return  # its end is what the thread waits for

    def _read(self) -> None:
        asked = True
        while asked:
            try:
                asked = bool(self._socket.recv(64))
            except OSError:
                asked = False
            with self._lock:
                self._told_to_drain = True
                drain = self._drain
            if drain is not None:
                drain()
        threading.Event().wait(self._overdue_seconds)
        self._on_overdue()
