"""`streamapp pipelines execute`."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamapp.cli import input_lines as lines
from streamapp.cli.exit_codes import ExitCode
from tests.unit.cli.commands import printed, refusal, run, write
from tests.unit.configuration.hostile import AGENT

pytestmark = pytest.mark.usefixtures("folder")

CHECK = {
    **AGENT,
    "agent_class": "Validator",
    "module_path": "streamapp.agents.validator",
    "capabilities": ["data_validation"],
    "configuration": {"json_schema": {"type": "object", "required": ["id"]}},
}
ONCE = {**AGENT, "configuration": {"key": "id", "window_seconds": 60}}
STAGES = [{"agent": "check", "error_policy": "dead_letter"}, {"agent": "once"}]
FINE = '{"id": "a"}\n\n{"id": "b"}\n'
EVENT = '{"data": {"id": "a"}}'
BATCH = '{"items": [{"id": "a"}]}'


@pytest.fixture(autouse=True)
def declared(folder: Path) -> None:
    assert folder.exists()
    pipelines = {"orders": {"source": "orders", "stages": STAGES}}
    write({"data_agents": {"check": CHECK, "once": ONCE}, "data_pipelines": pipelines})


def summary(command: str, given: str) -> Any:
    """What a command says of the stages on standard error, without what stands before it."""
    told = run(command, given).stderr
    return json.loads(told[told.index("{\n") :])


def test_outputs_are_lines_of_json_in_the_order_of_the_input() -> None:
    ended = run("pipelines execute orders", FINE)
    assert ended.exit_code == ExitCode.OK
    assert ended.stdout == '{"id":"a"}\n{"id":"b"}\n'
    Path("given.jsonl").write_text(FINE)
    assert run("pipelines execute orders --input given.jsonl").stdout == ended.stdout


def test_what_each_stage_did_is_told_on_standard_error() -> None:
    found = summary("pipelines execute orders", FINE)
    assert (found["status"], found["executions"]) == ("success", {"success": 2, "failed": 0})
    check, once = found["stages"]
    assert (check["stage"], check["outcomes"], check["attempts"]) == (
        "data_validation",
        {"processed": 2},
        2,
    )
    assert once["mean_seconds"] > 0
    table = run("pipelines execute orders --output table", FINE).stderr.splitlines()
    assert table[1].split()[:4] == ["data_validation", "success", "2", "processed"]


def test_failures_are_told_with_their_lines_and_the_others_go_on() -> None:
    given = '{"id": "a"}\n\n{"no": 1}\nnot JSON\n{"id": "b"}\n'
    ended = run("pipelines execute orders", given)
    assert ended.exit_code == ExitCode.EXECUTION_FAILED
    assert ended.stdout == '{"id":"a"}\n{"id":"b"}\n'
    assert "line 3: stage 'data_validation' of pipeline 'orders' failed: Permanent" in ended.stderr
    assert "line 4: stage 'data_validation' of pipeline 'orders' failed: Decode" in ended.stderr
    found = summary("pipelines execute orders", given)
    assert (found["status"], found["executions"]) == ("failed", {"success": 2, "failed": 2})
    assert found["stages"][0]["errors"][0]["error"] == "Permanent"
    assert found["stages"][0]["outcomes"] == {"processed": 2, "dead_lettered": 2}


def test_an_agent_that_cannot_open_as_it_is_configured_is_a_fault_of_the_configuration() -> None:
    look_up = {
        **AGENT,
        "agent_class": "FileLookup",
        "module_path": "streamapp.agents.file_lookup",
        "capabilities": ["data_enrichment"],
        "configuration": {"path": "gone.csv", "key": "id", "key_field": "id", "into": "known"},
    }
    pipelines = {"orders": {"source": "orders", "stages": [{"agent": "look_up"}]}}
    write({"data_agents": {"look_up": look_up}, "data_pipelines": pipelines})
    assert "path: gone.csv cannot be read: No such file" in refusal(
        "pipelines execute orders", FINE
    )
    [state] = printed("status orders")["pipelines"]
    assert (state["error"], state["report"]) == ("AgentSetupError", None)


def test_of_very_many_failures_the_first_are_told() -> None:
    told = run("pipelines execute orders", "3\n" * 50).stderr
    assert sum(line.startswith("line ") for line in told.splitlines()) == 20
    assert "further failures are only counted" in told


def test_without_input_nothing_is_executed() -> None:
    ended = run("pipelines execute orders --output table", "")
    assert ended.exit_code == ExitCode.OK
    assert ended.stderr.splitlines()[1].split()[:2] == ["data_validation", "pending"]


def test_a_line_that_is_too_long_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_BYTES", 20)
    assert refusal("pipelines execute orders", '{"id": "a"}\n' + "x" * 30) == (
        "line 2 of the input is longer than 0 MiB"
    )


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pipelines execute order", "did you mean 'orders'?"),
        ("pipelines execute orders --input none.jsonl", "none.jsonl: the file cannot be read"),
    ],
)
def test_what_is_not_there_is_refused(command: str, expected: str) -> None:
    assert expected in refusal(command)


def test_an_execution_is_kept_as_a_run() -> None:
    run("pipelines execute orders", '{"no": 1}\n')
    [found] = printed("status orders")["pipelines"]
    assert (found["status"], found["error"]) == ("failed", "Permanent")
    assert found["report"]["stages"][0]["outcomes"] == {"dead_lettered": 1}


def several_sources() -> None:
    """Declare a pipeline that reads two topics and a pattern, of different schemas."""
    source = [
        {"topic": "batches", "schema": "BatchDataInput"},
        {"topic": "events", "schema": "StreamDataInput"},
        {"pattern": r"more\..*", "schema": "StreamDataInput"},
    ]
    anything: dict[str, Any] = {"type": "object"}
    schemas = {"input_schema": anything, "output_schema": anything}
    check = {**CHECK, **schemas, "configuration": {"json_schema": anything}}
    pipelines = {"all": {"source": source, "stages": [{"agent": "check"}]}}
    write({"data_agents": {"check": check}, "data_pipelines": pipelines})


def test_lines_are_read_as_the_source_that_is_named() -> None:
    several_sources()
    for source, line in [("events", EVENT), ("more.events", EVENT), ("batches", BATCH)]:
        ended = run(f"pipelines execute all --source {source}", line)
        assert ended.exit_code == ExitCode.OK, ended.output
        assert json.loads(ended.stdout).items() >= json.loads(line).items()


def test_of_several_sources_one_has_to_be_named_before_anything_runs() -> None:
    several_sources()
    told = refusal("pipelines execute all", "not JSON")
    assert told == (
        r"pipeline 'all' reads batches, events, more\..*: say with --source TOPIC as which of them"
        " the lines are read"
    )
    assert "has no source 'event'; it reads 'batches', 'events'" in refusal(
        "pipelines execute all --source event"
    )


def test_the_only_source_can_be_named_and_no_other() -> None:
    assert run("pipelines execute orders --source orders", FINE).exit_code == ExitCode.OK
    told = refusal("pipelines execute orders --source other")
    assert "has no source 'other'; it reads 'orders'" in told


def test_the_choice_is_explained_on_standard_error() -> None:
    ended = run("pipelines execute orders --explain", FINE)
    assert "check: chosen, given" in ended.stderr
    assert ended.stdout == '{"id":"a"}\n{"id":"b"}\n'
