"""A worker process, as its supervisor controls it."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from streamapp.supervisor.connection import DRAIN, web_port_of


class WorkerProcess(Protocol):
    """A worker process that was started."""

    @property
    def pid(self) -> int:
        """Its process id."""

    async def up(self) -> int | None:
        """Wait until it reports that it is up; returns the port that it serves on, if any.

        Raises:
            EOFError: it ended before that.
        """

    async def beat(self) -> None:
        """Wait until it shows again that its event loop runs, or until it ends.

        Raises:
            EOFError: it has ended.
        """

    def drain(self) -> None:
        """Ask it to finish what is in flight and end; may be called more than once."""

    def kill(self) -> None:
        """Kill it; what it has not committed is read again."""

    async def ended(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""


class SpawnedWorker:
    """A worker in a process and a session of its own.

    Because of the session, Ctrl-C on a terminal reaches only the supervisor, which then asks each
    worker to drain.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(
        cls, command: Sequence[str], number: int, environment: Mapping[str, str] | None = None
    ) -> "SpawnedWorker":
        """Run the command with `--supervised-by NUMBER:DESCRIPTOR` appended.

        Args:
            command: the command.
            number: number of the worker.
            environment: variables of the process; `None` for those of this one.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--supervised-by",
                f"{number}:{theirs.fileno()}",
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)  # noqa: FBT003 - the only argument
        return cls(process, *await asyncio.open_connection(sock=ours))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def up(self) -> int | None:
        """Wait until it reports that it is up; returns the port that it serves on, if any.

        Raises:
            EOFError: it ended before that.
        """
        with suppress(ConnectionError):
            if line := await self._reader.readline():
                return web_port_of(line)
        raise EOFError

    async def beat(self) -> None:
        """Wait until it shows again that its event loop runs.

        Raises:
            EOFError: it has ended.
        """
        with suppress(ConnectionError):
            if await self._reader.readline():
                return
        raise EOFError

    def drain(self) -> None:
        """Ask it to finish what is in flight and end."""
        if not self._writer.is_closing():
            self._writer.write(DRAIN)

    def kill(self) -> None:
        """Kill it; what it has not committed is read again."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        code = await self._process.wait()
        self._writer.close()
        return code
