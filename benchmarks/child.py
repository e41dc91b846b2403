"""Runs scripts as child processes and measures what they use."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil


class FailedRunError(Exception):
    """A contender failed."""


@contextmanager
def child(
    module: str, argument: Any, variables: Mapping[str, str] | None = None
) -> Iterator[psutil.Process]:
    """Run a script with a dataclass as its argument; end it after the block if it still runs.

    `variables` are added to its environment.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(asdict(argument))]
    process = subprocess.Popen(command, env=os.environ | (variables or {}))  # noqa: S603 - our own scripts
    try:
        yield psutil.Process(process.pid)
        if process.poll():
            raise FailedRunError(f"{module} ended with {process.returncode}")
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of the process."""
    times = process.cpu_times()
    return times.user + times.system


def peak_rss_mb(process: int | str) -> float:
    """Largest resident memory of a process by its id, or of `self`, from Linux's /proc.

    `ru_maxrss` would also count the process that started it.
    """
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    peak_kb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return peak_kb / 1024
