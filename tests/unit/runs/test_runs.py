"""Records of runs: written, read, removed, and told apart from those whose process is gone."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from streamapp.beside import beside
from streamapp.observability.stage_report import StageReport, StatusReport
from streamapp.runs import folder as folders
from streamapp.runs.folder import RunFolder
from streamapp.runs.record import SILENT_SECONDS, RunRecord, this_host
from streamapp.runs.recorder import RunRecorder
from streamapp.status import PipelineStatus
from tests.hand_clock import HandClock
from tests.patience import eventually

STAGE = StageReport(pipeline="orders", stage="check", state="running", records_in=3)


def record(**fields: Any) -> RunRecord:
    base: dict[str, Any] = {
        "run_id": "0123456789ab",
        "command": "run",
        "target": "shop:orders",
        "pipelines": ("orders",),
        "started_at": 100.0,
        "reported_at": 110.0,
        "pid": os.getpid(),
        "host": this_host(),
    }
    return RunRecord.model_validate(base | fields)


def recorder(folder: RunFolder, clock: HandClock | None = None) -> RunRecorder:
    report = StatusReport(at=1.0, stages=(STAGE,))
    about: dict[str, Any] = {"command": "run", "target": "shop:orders", "pipelines": ("orders",)}
    return RunRecorder(folder, clock or HandClock(), lambda: report, days=7, **about)


def only(folder: RunFolder) -> RunRecord:
    [found] = folder.read()
    return found


def test_the_latest_run_is_read_first_and_what_is_no_record_is_passed_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "state")
    assert list(folder.read()) == []
    folder.write(record(run_id="a" * 12, started_at=1.0))
    folder.write(record(run_id="b" * 12, started_at=2.0))
    (folder.path / f"{3:013}-{'c' * 12}.json").write_text("{")
    (folder.path / "notes.txt").write_text("mine")
    assert [one.run_id[0] for one in folder.read()] == ["b", "a"]


def test_old_records_and_the_oldest_of_too_many_are_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MOST_RUNS", 2)
    folder = RunFolder(tmp_path)
    for number in range(4):
        folder.write(record(run_id=f"{number:012}", started_at=float(number)))
    (folder.path / "notes.txt").write_text("mine")
    files = sorted(folder.path.glob("*.json"))
    os.utime(files[3], (0, 0))
    folder.remove_old(files[2].stat().st_mtime, days=7)
    assert sorted(one.name for one in folder.path.iterdir()) == [files[2].name, "notes.txt"]


def test_a_record_has_figures_of_a_bounded_number_of_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MOST_STAGES", 2)
    folder = RunFolder(tmp_path)
    folder.write(record(stages=[STAGE] * 5))
    assert len(only(folder).stages) == 2


@pytest.mark.parametrize(
    ("fields", "now", "is_silent"),
    [
        ({}, 111.0, False),
        ({}, 111.0 + SILENT_SECONDS, True),
        ({"pid": 2**22 + 1}, 111.0, True),
        ({"pid": 2**22 + 1, "host": "elsewhere"}, 111.0, False),
        ({"pid": 2**22 + 1, "ended_at": 110.0}, 500.0, False),
    ],
    ids=["runs", "stands still", "is gone", "another machine", "ended"],
)
def test_a_run_without_an_end_is_silent_if_its_process_is_gone_or_stands_still(
    fields: dict[str, Any], now: float, is_silent: bool
) -> None:
    assert record(**fields).is_silent(now) is is_silent


def test_begin_and_end_are_recorded(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with recorder(folder).recording():
        assert only(folder).status is PipelineStatus.RUNNING
        assert only(folder).stages == (STAGE,)
    assert only(folder).status is PipelineStatus.SUCCESS
    assert only(folder).ended_at is not None


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (ExceptionGroup("all", [OSError("secret")]), PipelineStatus.FAILED, "OSError"),
        (asyncio.CancelledError(), PipelineStatus.CANCELLED, None),
    ],
)
def test_the_error_that_ends_a_run_is_recorded_by_its_class_only(
    tmp_path: Path, error: BaseException, status: PipelineStatus, name: str | None
) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(type(error)), recorder(folder).recording():
        raise error
    assert (only(folder).status, only(folder).error) == (status, name)
    assert "secret" not in next(folder.path.iterdir()).read_text()


@pytest.mark.parametrize(
    ("cut_short", "well"), [(False, PipelineStatus.SUCCESS), (True, PipelineStatus.CANCELLED)]
)
def test_of_a_run_that_failed_each_pipeline_has_an_end_of_its_own(
    tmp_path: Path, cut_short: bool, well: PipelineStatus
) -> None:
    folder = RunFolder(tmp_path)
    fields: dict[str, Any] = {"command": "run", "target": "shop:all", "pipelines": ("a", "b", "c")}
    failed = {"a": "StageStoppedError", "b": "KeyError"}
    report = StatusReport(at=1.0)
    run = RunRecorder(folder, HandClock(), lambda: report, days=7, failed=lambda: failed, **fields)
    with pytest.raises(OSError, match="x"), run.recording(lambda: cut_short):
        raise OSError("x")
    ends = [only(folder).end_of(name) for name in "abc"]
    assert [(one.status, one.error) for one in ends] == [
        (PipelineStatus.FAILED, "StageStoppedError"),
        (PipelineStatus.FAILED, "KeyError"),
        (well, None),
    ]


def test_a_run_that_failed_as_a_whole_has_failed_with_all_its_pipelines(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(OSError, match="x"), recorder(folder).recording():
        raise OSError("x")
    assert only(folder).end_of("orders").error == "OSError"


@pytest.mark.parametrize("begins", [True, False])
def test_a_run_that_ends_before_its_work_begins_is_told_from_others(
    tmp_path: Path, begins: bool
) -> None:
    folder, run = RunFolder(tmp_path), recorder(RunFolder(tmp_path))
    if begins:
        run.begin()
    with pytest.raises(OSError, match="x"), run.recording():
        raise OSError("x")
    assert only(folder).never_began is not begins


def test_a_run_that_was_cut_short_is_cancelled(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with recorder(folder).recording(lambda: True):
        pass
    assert only(folder).status is PipelineStatus.CANCELLED


def test_it_is_written_while_the_run_goes_on_and_never_over_the_end(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    own = recorder(folder)
    addresses: list[str | None] = []

    async def report() -> None:
        own.about["web_url"] = "http://127.0.0.1:1/"
        async with beside(own.report_on()):
            await eventually(written, seconds=10)

    async def written() -> bool:
        addresses.append((await asyncio.to_thread(only, folder)).web_url)
        return addresses[-1] is not None

    with own.recording():
        asyncio.run(report())
    assert addresses[-1] == "http://127.0.0.1:1/"
    own._write(own._record())  # as a thread that comes late
    assert only(folder).status is PipelineStatus.SUCCESS


def test_a_folder_that_cannot_be_written_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runs").write_text("no folder")
    with recorder(RunFolder(tmp_path)).recording():
        pass
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert "this run is not kept" in caplog.text


def test_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write(record())
    [path] = folder.path.iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "blue"}))
    assert only(folder) == record()
