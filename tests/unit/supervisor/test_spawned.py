"""A worker in a process of its own, and the line between it and its supervisor."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamapp.supervisor.process import SpawnedWorker

PATIENCE_SECONDS = 20.0

WORKER = """
import os, socket, sys
number, descriptor = sys.argv[-1].split(":")
line = socket.socket(fileno=int(descriptor))
said = os.environ.get("SAYS", "")
line.sendall(said.replace("SESSION", str(os.getsid(0))).encode())
sys.exit(7 if line.recv(64)[:6] == b"drain\\n" and number == "4" and not sys.stdin.read() else 8)
"""


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextlib.asynccontextmanager
async def spawned(code: str = WORKER, number: int = 4) -> AsyncIterator[SpawnedWorker]:
    worker = await SpawnedWorker.start([sys.executable, "-S", "-E", "-c", code], number)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield worker
    finally:
        worker.kill()
        await worker.ended()


async def test_a_worker_reports_its_port_and_ends_when_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAYS", '{"web_port": 8080}\n')
    async with spawned() as worker:
        assert await worker.up() == 8080
        worker.drain()
        worker.drain()
        assert await worker.ended() == 7
        worker.drain()  # nobody is there any more


async def test_a_worker_has_a_session_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYS", '{"web_port": SESSION}\n')
    async with spawned() as worker:
        assert await worker.up() == worker.pid


async def test_a_worker_that_ends_before_it_is_up_is_told_by_its_exit_code() -> None:
    async with spawned("import sys; sys.exit(3)") as worker:
        with pytest.raises(EOFError):
            await worker.up()
        assert await worker.ended() == 3


async def test_a_killed_worker_ends_by_its_signal() -> None:
    async with spawned() as worker:
        worker.kill()
        assert await worker.ended() == -9


async def test_a_command_that_is_not_there_leaves_no_socket_open() -> None:
    before = open_files()
    with pytest.raises(FileNotFoundError):
        await SpawnedWorker.start(["/no/such/command"], 0)
    assert open_files() == before


async def test_the_end_of_a_worker_closes_its_line() -> None:
    before = open_files()
    async with spawned() as worker:
        worker.kill()
        await worker.ended()
        await asyncio.sleep(0)
    assert open_files() <= before
