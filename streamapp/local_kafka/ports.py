"""Ports on the loopback interface."""

import errno
import random
import socket

from streamapp.local_kafka.errors import PortInUseError

HOST = "127.0.0.1"

# Below Linux's range for outgoing connections (32768 and up): any client could take a port of that
# range between our check and Kafka's bind.
_FIRST_PORT = 20_000
_LAST_PORT = 32_700
_ATTEMPTS = 200


def bind_fault(port: int) -> str | None:
    """Why nothing can listen on this port of 127.0.0.1; `None` if the port is free."""
    with socket.socket() as probe:
        # As Kafka does: connections of a broker that has just ended do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return (
                "is in use" if error.errno == errno.EADDRINUSE else f"is refused: {error.strerror}"
            )
    return None


class PortChooser:
    """Chooses free ports, each only once."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._taken: set[int] = set()

    def claim(self, port: int) -> int:
        """Take this port.

        Raises:
            PortInUseError: the port is in use or was chosen before.
        """
        fault = "is in use" if port in self._taken else bind_fault(port)
        if fault:
            raise PortInUseError(
                f"Port {port} on {HOST} {fault}; choose another with --port, "
                "or leave it out to get a free one."
            )
        self._taken.add(port)
        return port

    def choose(self, preferred: int | None = None) -> int:
        """Take the preferred port if it is free, else any free one.

        Raises:
            PortInUseError: no free port was found.
        """
        candidates = [] if preferred is None else [preferred]
        candidates += self._rng.sample(range(_FIRST_PORT, _LAST_PORT), _ATTEMPTS)
        for port in candidates:
            if port not in self._taken and bind_fault(port) is None:
                return self.claim(port)
        raise PortInUseError(f"No free port was found between {_FIRST_PORT} and {_LAST_PORT}.")
