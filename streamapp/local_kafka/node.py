"""One Kafka process, in a session of its own."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from streamapp.local_kafka.errors import DevBrokerError

# The process writes its own pid before it becomes Java, so that the pid is on disk even if the
# starting process is killed meanwhile. The outer shell ends at once, so that no process has to wait
# for the broker as its child.
_WRITE_PID_AND_RUN = 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"'
_DETACH = 'sh -c "$0" "$@" &'

_POLL_SECONDS = 0.05
_PID_SECONDS = 5.0
_EXIT_SECONDS = 2.0


class Node:
    """The files and the process of one node.

    The Kafka process inherits an exclusive lock on a file, which the kernel releases when the
    process ends. So while the lock is held, the process runs and the pid in the file is its own. A
    pid left by a crash, which another program may have now, is never signalled.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.properties_file = folder / "server.properties"
        self.data_dir = folder / "data"
        self.log_file = folder / "broker.log"
        self._pid_file = folder / "pid"
        self._lock_file = folder / "lock"

    def is_running(self) -> bool:
        """Whether the node's process runs."""
        try:
            descriptor = os.open(self._lock_file, os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def pid(self) -> int | None:
        """Process id of the running node; `None` when it does not run."""
        try:
            pid = int(self._pid_file.read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return pid if self.is_running() else None

    def start(self, command: Sequence[str]) -> None:
        """Run Kafka in the background with its output in the log file; keeps the previous log."""
        with suppress(FileNotFoundError):
            self.log_file.replace(self.log_file.with_name("broker.previous.log"))
        self._pid_file.unlink(missing_ok=True)
        lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with self.log_file.open("wb") as log:
                subprocess.run(  # noqa: S603 - the command is ours, the words are not parsed again
                    ["/bin/sh", "-c", _DETACH, _WRITE_PID_AND_RUN, str(self._pid_file), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(lock,),
                    start_new_session=True,
                    check=True,
                )
        finally:
            os.close(lock)

    def ask_to_end(self, *, gracefully: bool) -> None:
        """Signal the process: to close its logs and end, or to end at once."""
        # A process that has just been started writes its pid in its first instructions.
        _within(_PID_SECONDS, lambda: self.pid() is not None or not self.is_running())
        pid = self.pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if gracefully else signal.SIGKILL)
        elif self.is_running():
            raise DevBrokerError(
                f"A process holds {self._lock_file}, but {self._pid_file} does not name it."
            )

    def wait_until_ended(self, *, timeout_seconds: float) -> None:
        """Wait for the end of the process; kill it if it does not end in time.

        Raises:
            DevBrokerError: it does not end even when it is killed.
        """
        pid = self.pid()
        if not _within(timeout_seconds, lambda: not self.is_running()):
            self.ask_to_end(gracefully=False)
            if not _within(timeout_seconds, lambda: not self.is_running()):
                raise DevBrokerError(
                    f"The broker's process {pid} does not end; its log is {self.log_file}."
                )
        if pid is not None:
            # The kernel releases the lock a moment before the process is gone.
            _within(_EXIT_SECONDS, lambda: not _exists(pid))

    def read_log(self) -> str:
        """The log of the process since its last start."""
        try:
            return self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def remove_process_files(self) -> None:
        """Remove pid and lock files of a process that has ended."""
        for file in (self._pid_file, self._pid_file.with_name("pid.new"), self._lock_file):
            file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything of this node."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _within(timeout_seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until the condition is true; returns whether it became true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # another user's process has this pid now
    return True
