"""Ports on the loopback interface."""

import random
import socket

from streamapp.brokers.dev.errors import PortInUseError

HOST = "127.0.0.1"

# Below Linux's range for outgoing connections (32768 up): a port from that range can be taken by
# any client between our look and Kafka's bind.
_FIRST_PORT = 20_000
_LAST_PORT = 32_700
_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As Kafka does: connections of a broker that has just gone do not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class PortChooser:
    """Hands out ports that are free and that it has not handed out before."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._taken: set[int] = set()

    def claim(self, port: int) -> int:
        """Take this port.

        Raises:
            PortInUseError: somebody listens on it, or it was handed out before.
        """
        if port in self._taken or not is_free(port):
            raise PortInUseError(
                f"Port {port} on {HOST} is in use; choose another with --port, "
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
            if port not in self._taken and is_free(port):
                return self.claim(port)
        raise PortInUseError(f"No free port was found between {_FIRST_PORT} and {_LAST_PORT}.")
