"""`streamapp broker` as a user types it."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from streamapp.cli.exit_codes import ExitCode
from streamapp.local_kafka.broker import DevBroker
from streamapp.local_kafka.ports import PortChooser
from tests.kafka import Kafka

DEADLINE_SECONDS = 120


def command(folder: Path, *words: str) -> Sequence[str]:
    return [sys.executable, "-m", "streamapp", "broker", *words, "--dir", str(folder)]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - this interpreter
        command(folder, *words),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose broker, if there is one, is down at the end."""
    folder = tmp_path / "broker"
    yield folder
    DevBroker(folder).down()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked for yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.kafka
def test_a_broker_from_up_to_down(folder: Path) -> None:
    # A port of its own: without one, `up` takes 9092, and so would others on this machine.
    port = str(PortChooser(random.Random()).choose())
    first = run(folder, "up", "--heap-mb", "256", "--port", port)
    assert (first.returncode, first.stderr) == (ExitCode.OK, "")

    status = run(folder, "status", "--json")
    assert status.returncode == ExitCode.OK
    facts = json.loads(status.stdout)
    assert facts["ready"]
    assert facts["uptime_seconds"] > 0
    assert f"is ready at {facts['bootstrap_servers']} (pid {facts['pids'][0]})" in first.stdout
    assert f"streamapp broker down --dir {folder} (removes its records; --keep-data" in first.stdout
    assert facts["bootstrap_servers"] == f"127.0.0.1:{port}"

    again = run(folder, "up")
    assert again.returncode == ExitCode.OK
    assert again.stdout.startswith("Already running: ")
    assert facts["bootstrap_servers"] in again.stdout

    other = run(folder, "up", "--set", "num.io.threads=3")
    assert other.returncode == ExitCode.CONFIGURATION
    assert "different options (properties)" in other.stderr

    down = run(folder, "down")
    assert (down.returncode, down.stdout) == (ExitCode.OK, "Stopped; its data is removed.\n")
    assert not is_alive(facts["pids"][0])
    assert not folder.exists()

    down_again = run(folder, "down")
    assert down_again.returncode == ExitCode.OK
    assert down_again.stdout == f"No broker ran in {folder}.\n"


def test_status_of_nothing_is_exit_code_1(folder: Path) -> None:
    status = run(folder, "status")
    assert status.returncode == ExitCode.FAILURE
    assert f"streamapp broker up --dir {folder}" in status.stdout
    assert json.loads(run(folder, "status", "--json").stdout) == {"running": False}


@pytest.mark.kafka
def test_two_ups_at_once_start_one_broker(folder: Path) -> None:
    port = str(PortChooser(random.Random()).choose())
    words = command(folder, "up", "--json", "--heap-mb", "256", "--port", port)
    both = [
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this interpreter
        for _ in range(2)
    ]
    facts = [json.loads(process.communicate(timeout=DEADLINE_SECONDS)[0]) for process in both]
    assert sorted(fact["was_running"] for fact in facts) == [False, True]
    assert facts[0]["pids"] == facts[1]["pids"]


def test_a_port_in_use_is_one_sentence(folder: Path, kafka: Kafka) -> None:
    port = kafka.bootstrap_servers.rpartition(":")[2]
    up = run(folder, "up", "--port", port)
    assert up.returncode == ExitCode.PORT_IN_USE
    assert len(up.stderr.splitlines()) == 1
    assert f"Port {port} on 127.0.0.1 is in use" in up.stderr
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--set", "nothing"), ExitCode.USAGE, "NAME=VALUE"),
        (("--listener", "TLS"), ExitCode.USAGE, "NAME:VALUE"),
        (("--port", "70000"), ExitCode.USAGE, "65535"),
        (("--set", "listeners=X://:1"), ExitCode.CONFIGURATION, "--listener"),
        (("--listener", "TLS:TLS"), ExitCode.CONFIGURATION, "SASL_SSL"),
    ],
)
def test_a_wrong_option_starts_nothing(
    folder: Path, words: Sequence[str], code: ExitCode, said: str
) -> None:
    up = run(folder, "up", *words)
    assert up.returncode == code
    assert said in up.stderr
    assert "Traceback" not in up.stderr
    assert not folder.exists()
