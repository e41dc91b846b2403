"""Takes a broker down when the process that started it dies, however it dies.

The starter holds the other end of this process's standard input. The kernel closes it at the
starter's death, SIGKILL included, on every Unix.
"""

import subprocess
import sys
from pathlib import Path

from streamapp.local_kafka.broker import DevBroker

_END_DEADLINE_SECONDS = 10


class Watchdog:
    """Guards the broker of a folder for as long as this process lives."""

    def __init__(self, folder: Path) -> None:
        # A session of its own: what kills the starter's process group must not kill the guard.
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End the guard; the broker is left as it is."""
        self._process.kill()
        self._process.communicate(timeout=_END_DEADLINE_SECONDS)


def main() -> None:
    """Wait for the end of standard input, then take the broker of the named folder down."""
    sys.stdin.buffer.read()
    DevBroker(Path(sys.argv[1])).down()


if __name__ == "__main__":
    main()
