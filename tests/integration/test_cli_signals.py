"""Signals while an agent blocks the event loop, which then cannot see them itself."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from streamapp.cli.exit_codes import ExitCode
from tests.cli import ROOT

_BLOCKED = """
import asyncio, time
from streamapp.cli.signals import stop_on_signal

async def main():
    with stop_on_signal(lambda: print("asked", flush=True), message="Stopping"):
        print("ready", flush=True)
        {blocking}
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def started(blocking: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that is ready for signals; killed at the end if it still runs."""
    command = [sys.executable, "-c", _BLOCKED.format(blocking=blocking)]
    process = subprocess.Popen(  # noqa: S603 - this interpreter
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_first_signal_asks_and_the_second_ends() -> None:
    with started("pass") as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == ExitCode.ABANDONED
    assert stderr.splitlines() == [
        "Stopping; a second signal ends at once",
        "streamapp: ended at once; what was in flight will be read again",
    ]


def test_the_second_signal_ends_it_although_the_loop_is_blocked() -> None:
    with started("time.sleep(600)") as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == ExitCode.ABANDONED
    assert "ended at once" in stderr


_ENDING = """
import asyncio, os, signal
from streamapp.cli.signals import stop_on_signal

async def main():
    stopped = asyncio.Event()
    with stop_on_signal(stopped.set, message="Stopping"):
        os.kill(os.getpid(), signal.SIGTERM)
        await stopped.wait()

asyncio.run(main())
os.kill(os.getpid(), signal.SIGTERM)
print("ended well")
"""


def test_a_second_signal_that_comes_too_late_makes_no_failure_of_a_clean_end() -> None:
    process = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _ENDING], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (process.returncode, process.stdout) == (0, "ended well\n")
