"""Runs `python -m streamapp` as its users do, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 60.0


def streamapp(
    *args: str | Path,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(  # noqa: S603 - this interpreter
        _command(*args),
        cwd=cwd,
        env=_environment(env),
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


class RunningCommand:
    """A command that runs beside the test.

    Its output goes to files, so that it never waits for a reader.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder

    @property
    def stdout(self) -> str:
        return (self._folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self._folder / "stderr").read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, text: str) -> str:
        """Wait until the line with this text is written to stdout, and return the line."""
        return self._wait_for("stdout", text)

    def wait_for_error(self, text: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait for a line on stderr."""
        return self._wait_for("stderr", text, seconds)

    def _wait_for(self, stream: str, text: str, seconds: float = PATIENCE_SECONDS) -> str:
        deadline = time.monotonic() + seconds
        while True:
            written = (self._folder / stream).read_text()
            for line in written.splitlines(keepends=True):
                if text in line and line.endswith("\n"):
                    return line.rstrip("\n")
            assert self._process.poll() is None, f"ended without {text!r}: {self.stderr}"
            assert time.monotonic() < deadline, f"no {text!r} in time: {written}"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end."""
        return self._process.wait(PATIENCE_SECONDS)


@contextmanager
def running(
    *args: str | Path, folder: Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> Iterator[RunningCommand]:
    """A command with its output in this folder; killed at the end if it still runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(  # noqa: S603 - this interpreter
            _command(*args), cwd=cwd, env=_environment(env), stdout=out, stderr=err
        )
    try:
        yield RunningCommand(process, folder)
    finally:
        process.kill()
        process.wait()


def _command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "streamapp", *map(str, args)]


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    ours = ("STREAMAPP_KAFKA_", "STREAMAPP_WEB_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return kept | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"} | dict(more or {})
