"""Keeps a record of what a command runs, for `streamapp status`."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from streamapp.cli.loading import configuration_file_of, monitoring_of
from streamapp.cli.variables import CONFIG_VARIABLE
from streamapp.clock import Clock
from streamapp.configuration.names import FILE_NAME
from streamapp.configuration.state_folder import state_folder
from streamapp.observability.stage_report import StatusReport
from streamapp.runs.folder import RunFolder
from streamapp.runs.recorder import RunRecorder


def recorder_of(
    target: str,
    packages: Iterable[str],
    clock: Clock,
    report: Callable[[], StatusReport],
    failed: Callable[[], Mapping[str, str]] = dict,
    **about: Any,
) -> RunRecorder:
    """What records the run of a target, in the state folder that goes with its configuration file.

    Args:
        target: `module:pipeline`, or `file.json#name`.
        packages: packages that a configuration file may import from.
        clock: the time.
        report: returns what is known of the stages now.
        failed: returns the class of the error of each pipeline that has failed.
        about: further fields of the record.
    """
    folder = run_folder(configuration_file_of(target))
    days = monitoring_of(target, packages).metrics_retention_days
    return RunRecorder(folder, clock, report, days=days, failed=failed, target=target, **about)


def run_folder(configuration_file: Path | None) -> RunFolder:
    """The records of runs that go with a configuration file; by default that of this directory."""
    file = configuration_file or Path(os.environ.get(CONFIG_VARIABLE) or FILE_NAME)
    return RunFolder(state_folder(file))
