"""The unit for systemd, and every list of exit codes after which nothing is to be restarted."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamapp.cli.environment import unknown_settings
from streamapp.cli.exit_codes import NOT_RESTARTED, ExitCode, Restart
from streamapp.cli.workers import AFTER_DRAIN_SECONDS
from streamapp.runtime.config import RuntimeConfig

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "deploy" / "systemd" / "streamapp@.service"
PROGRAM = "/opt/streamapp/.venv/bin/streamapp"


def values(name: str) -> list[str]:
    """All values of a directive of the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_the_unit_is_one_that_systemd_reads_without_a_warning(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("install systemd")
    # It looks whether the program is there, so the copy starts one that is.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(PROGRAM, sys.executable))
    done = subprocess.run([tool, "verify", unit], capture_output=True, text=True, check=False)  # noqa: S603 - a path of our own
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_command_that_fails_again_is_not_restarted_and_all_others_are() -> None:
    [codes] = values("RestartPreventExitStatus")
    assert [int(code) for code in codes.split()] == list(NOT_RESTARTED)
    assert values("Restart") == ["on-failure"]
    assert values("RestartSec") == ["5s"]  # `yes, with a delay`
    assert values("StartLimitIntervalSec") == ["0"]


def test_no_other_list_of_such_codes_differs() -> None:
    expected = " ".join(str(int(code)) for code in NOT_RESTARTED)
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", *(ROOT / "deploy").rglob("*")]
    found = {
        codes
        for page in pages
        if page.is_file()
        for codes in re.findall(r"RestartPreventExitStatus=([\d ]+)", page.read_text())
    }
    assert found == {expected}


@pytest.mark.parametrize(
    "code", [ExitCode.BROKER_UNREACHABLE, ExitCode.FAILURE, ExitCode.DRAIN_TIMEOUT, ExitCode.BUG]
)
def test_what_may_pass_by_itself_is_restarted(code: ExitCode) -> None:
    assert code.restart in (Restart.YES, Restart.LATER)


def test_a_stop_reaches_the_supervisor_alone_and_leaves_it_time_to_drain() -> None:
    assert values("KillMode") == ["mixed"]
    [seconds] = values("TimeoutStopSec")
    needed = RuntimeConfig().shutdown_drain_seconds + AFTER_DRAIN_SECONDS
    assert float(seconds.removesuffix("s")) >= needed + 5


def test_what_it_starts_is_a_command_with_settings_that_exist() -> None:
    assert values("ExecStart") == [f"{PROGRAM} run $PIPELINE $OPTIONS"]
    names = [value.partition("=")[0] for value in values("Environment")]
    assert "STREAMAPP_STATE_FOLDER" in names
    assert list(unknown_settings(names)) == []
