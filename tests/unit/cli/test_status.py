"""`streamapp status`, of saved runs and of services that answer."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamapp.clock import SystemClock
from streamapp.observability.stage_metrics import StageMetrics, StageState
from streamapp.observability.stage_report import StageReport
from streamapp.runs.folder import RunFolder
from streamapp.runs.record import RunRecord, this_host
from streamapp.web.access import Access
from streamapp.web.server import WebServer, WorkerView
from tests.unit.cli.commands import printed, refusal, run, write

pytestmark = pytest.mark.usefixtures("folder")

GONE = 2**22 + 1
CHAIN = {
    "pipeline": "orders",
    "steps": [{"stage": "check", "scores": [{"agent_id": "checker", "value": 0.5}]}],
    "replacements": [{"stage": "check", "told": "checker took the place of old", "at": 0.0}],
}


def save(number: int, *, stage: dict[str, Any] | None = None, **fields: Any) -> None:
    now = time.time()
    own = {"pipeline": "orders", "stage": "check", "state": "running", **(stage or {})}
    base: dict[str, Any] = {
        "run_id": f"{number:012}",
        "command": "run",
        "target": "shop:orders",
        "pipelines": ("orders",),
        "started_at": now - 100 + number,
        "reported_at": now,
        "pid": os.getpid(),
        "host": this_host(),
        "stages": (StageReport.model_validate(own),),
    }
    RunFolder(Path(".streamapp")).write(RunRecord.model_validate(base | fields))


def pipelines(command: str = "status") -> list[dict[str, Any]]:
    found = printed(command)
    assert found["version"] == 1
    return list(found["pipelines"])


def test_without_runs_it_says_so() -> None:
    assert pipelines() == []
    assert run("status --output table").stdout.startswith("There are no runs yet")


def test_of_runs_that_have_ended_the_last_one_is_shown() -> None:
    save(1, ended_at=1.0, status="success")
    save(2, ended_at=2.0, status="failed", error="StageStoppedError")
    [found] = pipelines()
    assert (found["status"], found["error"], found["is_live"]) == (
        "failed",
        "StageStoppedError",
        False,
    )
    table = run("status --output table").stdout
    assert table.startswith("orders: failed with StageStoppedError ")


def test_a_pipeline_of_a_bundle_is_shown_by_its_own_end() -> None:
    fields: dict[str, Any] = {"ended_at": 2.0, "status": "failed", "error": "StageStoppedError"}
    ends = {"orders": {"status": "failed", "error": "StageStoppedError"}}
    ends["views"] = {"status": "success"}
    save(1, pipelines=("orders", "views"), ends=ends, **fields)
    shown = {one["pipeline"]: (one["status"], one["error"]) for one in pipelines()}
    assert shown == {"orders": ("failed", "StageStoppedError"), "views": ("success", None)}


NEVER_BEGAN: dict[str, Any] = {
    "ended_at": 9.0,
    "status": "failed",
    "error": "PortInUseError",
    "never_began": True,
    "stage": {"state": "starting"},
}
LATER = "a later start: failed with PortInUseError"


def test_a_start_that_failed_is_told_beside_the_run_before_it() -> None:
    save(1, stage={"records_in": 5}, ended_at=1.0, status="success")
    save(2, **NEVER_BEGAN)
    save(3, **{**NEVER_BEGAN, "error": "TopicError"})
    [found] = pipelines()
    assert (found["status"], found["error"], found["ended_at"]) == ("success", None, 1.0)
    assert found["report"]["stages"][0]["records_in"] == 5
    assert found["failed_start"] == {"ended_at": 9.0, "status": "failed", "error": "TopicError"}
    shown = run("status --output table").stdout
    assert shown.startswith("orders: success ")
    assert "a later start: failed with TopicError " in shown


def test_a_start_that_failed_is_told_beside_a_run_that_goes_on() -> None:
    save(1)
    save(2, **NEVER_BEGAN)
    assert pipelines()[0]["status"] == "running"
    assert LATER in run("status --output table").stdout


def test_a_start_that_failed_is_forgotten_with_the_next_run() -> None:
    save(1, **NEVER_BEGAN)
    save(2, ended_at=2.0, status="success")
    assert pipelines()[0]["failed_start"] is None
    assert LATER not in run("status --output table").stdout


def test_without_any_other_run_a_start_that_failed_is_shown_and_has_no_figures() -> None:
    save(1, **NEVER_BEGAN)
    [found] = pipelines()
    assert (found["status"], found["error"]) == ("failed", "PortInUseError")
    assert (found["report"], found["failed_start"]) == (None, None)
    [line] = run("status --output table").stdout.splitlines()
    assert line.startswith("orders: failed with PortInUseError ")
    assert line.endswith(" ago, before its work began")


def test_a_worker_that_failed_to_start_again_hides_not_what_it_did_before() -> None:
    fields: dict[str, Any] = {"supervisor": 7, "ended_at": 9.0, "status": "success"}
    save(1, stage={"records_in": 1}, worker=0, **fields)
    save(2, stage={"records_in": 10}, worker=1, **fields)
    save(3, worker=0, **{**NEVER_BEGAN, "supervisor": 7})
    [found] = pipelines()
    assert found["report"]["stages"][0]["records_in"] == 11
    assert found["failed_start"]["error"] == "PortInUseError"


def test_workers_that_run_are_seen_as_one_without_those_that_ended() -> None:
    save(1, stage={"records_in": 100}, ended_at=1.0, status="success")
    save(2, stage={"records_in": 3, "lag": 1, "partitions": 1})
    save(3, stage={"records_in": 4, "lag": 2, "partitions": 1})
    [found] = pipelines()
    [stage] = found["report"]["stages"]
    assert (found["status"], found["report"]["workers"]) == ("running", 2)
    assert (stage["records_in"], stage["lag"]) == (7, 3)


def test_of_a_supervisor_that_has_ended_the_last_run_of_each_worker_counts() -> None:
    fields = {"supervisor": 7, "ended_at": 9.0, "status": "success"}
    save(1, stage={"records_in": 1}, worker=0, **{**fields, "status": "failed"})
    save(2, stage={"records_in": 10}, worker=1, **fields)
    save(3, stage={"records_in": 100}, worker=0, **fields)
    [found] = pipelines()
    assert found["report"]["stages"][0]["records_in"] == 110
    assert found["status"] == "success"


def test_a_run_whose_process_is_gone_has_stopped_reporting() -> None:
    save(1, pid=GONE)
    assert pipelines()[0]["status"] == "stopped reporting"
    assert "orders: stopped reporting" in run("status --output table").stdout


def test_what_is_unknown_is_never_shown_as_a_number() -> None:
    save(1)
    row = run("status --output table").stdout.splitlines()[2].split()
    assert row == ["check", "running", "-", "0", "none", "0", "-", "-", "-", "-", "-", "-"]


def test_agents_failures_and_holds_are_told() -> None:
    errors = [{"at": time.time() - 5, "error": "OSError", "fingerprint": "abc"}]
    held = {"state": "held", "held_reason": "the world is down", "breaker": "open"}
    stage = {**held, "ok": False, "errors": errors, "left_out": ["slow"]}
    save(1, stage=stage, chains=[CHAIN, {"pipeline": "other"}])
    told = run("status orders --output table").stdout
    assert "agents with their scores: check: checker 0.500" in told
    assert "check: checker took the place of old, " in told
    assert "check: the world is down" in told
    assert "check: left out, since their breakers are open: slow" in told
    assert "check: failed with OSError (abc) 5" in told
    assert pipelines()[0]["report"]["chains"] == [CHAIN]


def test_a_pipeline_that_has_not_run_is_pending_and_an_unknown_one_is_refused() -> None:
    stages = [{"agent": "stream_processor"}]
    write({"data_pipelines": {"later": {"source": "a", "stages": stages}}})
    save(1)
    assert pipelines("status later")[0]["status"] == "pending"
    assert run("status later --output table").stdout == "later: pending\n"
    assert "did you mean 'orders'?" in refusal("status order")


def test_a_state_folder_elsewhere_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(1)
    monkeypatch.setenv("STREAMAPP_STATE_FOLDER", str(folder / "other"))
    assert pipelines() == []
    assert run("status").stderr == ""


@contextmanager
def served(*, token: str | None = None, **fields: object) -> Iterator[str]:
    """A worker with one stage, in another thread."""
    metrics = StageMetrics("orders", "check", "raw")
    metrics.state, metrics.processed = StageState.RUNNING, 5
    for name, value in fields.items():
        setattr(metrics, name, value)

    async def render(_: str) -> tuple[bytes, str]:
        return b"", "text/plain"

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    view = WorkerView(lambda: [metrics], render, SystemClock(), chains=lambda: [CHAIN])
    server = WebServer(view, access=Access(token))
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
        yield server.url
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_a_service_that_runs_is_asked_where_its_record_says() -> None:
    with served() as url:
        save(1, web_url=url)
        save(2, web_url=url, host="elsewhere", pipelines=("other",))
        found, other = pipelines()
        assert found["is_live"] is True
        assert found["report"]["stages"][0]["outcomes"]["processed"] == 5
        assert other["is_live"] is False


@pytest.mark.parametrize("place", ["variable", "file"])
def test_a_service_that_asks_for_a_token_is_sent_the_one_of_the_environment(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, file = "0123456789abcdef", tmp_path / "token"
    file.write_text(token)
    with served(token=token) as url:
        save(1, web_url=url)
        assert pipelines()[0]["is_live"] is False
        if place == "file":
            monkeypatch.setenv("STREAMAPP_WEB_TOKEN_FILE", str(file))
        else:
            monkeypatch.setenv("STREAMAPP_WEB_TOKEN", token)
        assert pipelines()[0]["is_live"] is True


def test_people_and_programs_are_told_alike_that_kafka_is_gone() -> None:
    with served(rebalances=1, cut_off_since=SystemClock().monotonic() - 5) as url:
        save(1, web_url=url)
        [stage] = pipelines()[0]["report"]["stages"]
        told = run("status --output table").stdout
    assert stage["ok"] is None
    assert stage["reason"].startswith("running, out of its group, or Kafka does not answer, for 5")
    assert f"check: {stage['reason']}"[:65] in told


def test_a_stage_that_works_is_told_without_a_reason() -> None:
    with served(rebalances=1) as url:
        save(1, web_url=url)
        assert pipelines()[0]["report"]["stages"][0]["ok"] is True
        assert "check: running" not in run("status --output table").stdout


def test_whether_a_stage_works_that_stopped_reporting_is_not_known() -> None:
    save(1, pid=GONE, stage={"ok": True, "reason": "running, no lag"})
    [stage] = pipelines()[0]["report"]["stages"]
    assert (stage["ok"], stage["reason"]) == (None, "stopped reporting")
    assert "check: stopped reporting" in run("status --output table").stdout


def test_a_service_can_be_asked_by_its_address() -> None:
    with served() as url:
        assert pipelines(f"status --web-url {url}")[0]["report"]["chains"] == [CHAIN]
        assert "did you mean 'orders'?" in refusal(f"status order --web-url {url}")


def test_an_address_without_a_status_is_told() -> None:
    ended = run("status --web-url http://127.0.0.1:1")
    assert "there is no status at http://127.0.0.1:1" in str(ended.exception)


def test_watching_shows_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    save(1)
    waits = iter([None])

    def wait(_seconds: float) -> None:
        if next(waits, "enough") == "enough":
            raise KeyboardInterrupt

    monkeypatch.setattr("streamapp.cli.shown_status.time.sleep", wait)
    shown = run("status --watch --output json").stdout
    assert shown.count('"version": 1,\n  "pipelines"') == 2
    first, _ = json.JSONDecoder().raw_decode(shown)
    assert first["pipelines"][0]["pipeline"] == "orders"
