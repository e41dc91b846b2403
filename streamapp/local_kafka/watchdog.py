"""Stops a broker when the process that started it ends, even if it is killed.

The starting process holds the other end of the watchdog's standard input. On every Unix, the kernel
closes it when that process ends.
"""

import subprocess
import sys
from pathlib import Path

from streamapp.local_kafka.broker import DevBroker

_END_DEADLINE_SECONDS = 10


class Watchdog:
    """Stops the broker of a folder when this process ends."""

    def __init__(self, folder: Path) -> None:
        # A session of its own: a signal to this process group must not end the watchdog.
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End the watchdog and leave the broker as it is."""
        self._process.kill()
        self._process.communicate(timeout=_END_DEADLINE_SECONDS)


def main() -> None:
    """Wait for the end of standard input, then stop the broker of the folder."""
    sys.stdin.buffer.read()
    DevBroker(Path(sys.argv[1])).down()


if __name__ == "__main__":
    main()
