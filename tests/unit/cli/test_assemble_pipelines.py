"""`streamapp pipelines assemble` and `save`, and `--explain`."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.state_folder import state_folder
from streamapp.registry.score_file import ScoreFile
from streamapp.registry.scores import SavedAgent
from tests.unit.cli.commands import FILE, printed, refusal, run, write
from tests.unit.configuration.hostile import AGENT

pytestmark = pytest.mark.usefixtures("folder")

CHECK = {
    **AGENT,
    "agent_class": "Validator",
    "module_path": "streamapp.agents.validator",
    "capabilities": ["data_validation"],
    "configuration": {"json_schema": {"type": "object"}},
}
AGENTS = {"data_agents": {"check": CHECK, "once": AGENT, "twice": AGENT}}
WANTED = "data_validation stream_processing"
NAMED = f"pipelines assemble {WANTED} --name orders --source orders --sink clean"
DECLARED = {
    "source": "orders",
    "stages": [{"capability": "data_validation"}, {"capability": "stream_processing"}],
    "sink": "clean",
}


def saved() -> Any:
    return json.loads(FILE.read_bytes()).get("data_pipelines", {})


def chain(found: Any) -> list[str]:
    return [one["agent"] for one in found["chain"]]


def test_the_best_chain_is_shown_and_without_a_name_nothing_is_saved() -> None:
    write(AGENTS)
    found = printed(f"pipelines assemble {WANTED}")
    assert chain(found) == ["check", "once"]
    assert found["declaration"] is None
    assert saved() == {}
    table = run(f"pipelines assemble {WANTED} --output table").stdout.splitlines()
    assert table[2].split() == ["2", "stream_processing", "once", "0.562"]
    assert len(table) == 3


def test_with_a_name_it_is_saved_and_the_agents_stay_open_to_choice() -> None:
    write(AGENTS)
    assert printed(NAMED)["declaration"] == DECLARED
    assert saved() == {"orders": DECLARED}
    assert "Saved as orders in" in run(f"{NAMED} --replace --output table").stdout


def test_pins_and_exclusions_narrow_the_choice_and_are_saved() -> None:
    write(AGENTS)
    pinned = {"agent": "twice", "capability": "stream_processing"}
    assert chain(printed(f"{NAMED} --pin 2=twice")) == ["check", "twice"]
    assert saved()["orders"]["stages"][1] == pinned
    assert chain(printed(f"{NAMED} --replace --exclude once")) == ["check", "twice"]
    assert saved()["orders"]["exclude"] == ["once"]


def test_several_agents_share_the_work_of_a_step_as_a_pool() -> None:
    write(AGENTS)
    found = printed(f"{NAMED} --pool 2=2")
    assert [one["members"] for one in found["chain"]] == [["check"], ["once", "twice"]]
    assert saved()["orders"]["stages"][1] == {"capability": "stream_processing", "pool": 2}
    table = run(f"{NAMED} --pool 2=2 --replace --output table").stdout
    assert "once, twice" in table


def test_without_auto_save_it_is_saved_on_request_only() -> None:
    write({**AGENTS, "cli_settings": {"auto_save": False}})
    assert printed(NAMED)["file"] is None
    assert "give --save" in run(NAMED).stderr
    assert saved() == {}
    printed(f"{NAMED} --save")
    assert saved() == {"orders": DECLARED}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("data_validation data_enrichment", "step 2 (data_enrichment): no agent offers it"),
        ("data_validation stream_procesing", "did you mean 'stream_processing'?"),
        ("data_validation", "give at least two capabilities"),
        (f"{WANTED} --pin 3=once", "there is no step 3"),
        (f"{WANTED} --pin 2=onse", "did you mean 'once'?"),
        (f"{WANTED} --pin 2=check", "'check' does not offer stream_processing"),
        (f"{WANTED} --pool 3=2", "there is no step 3 to have a pool"),
        (f"{WANTED} --pool 2=2 --pin 2=once", "step 2 has a pinned agent"),
        (f"{WANTED} --pin 2=once --exclude once", "'once' is pinned to step 2 and excluded"),
        (f"{WANTED} --exclude onse", "did you mean 'once'?"),
        (f"{WANTED} --name orders --source orders", "or give --replace"),
    ],
)
def test_what_cannot_be_assembled_is_refused_and_nothing_is_saved(
    options: str, expected: str
) -> None:
    write({**AGENTS, "data_pipelines": {"orders": DECLARED}})
    assert expected in refusal(f"pipelines assemble {options}")
    assert saved() == {"orders": DECLARED}


@pytest.mark.parametrize(
    "options", ["--name orders", "--save --source a", "--pin once", "--pool 2=1"]
)
def test_a_wrong_command_line_ends_with_its_code(options: str) -> None:
    write(AGENTS)
    assert run(f"pipelines assemble {WANTED} {options}").exit_code == 2


def test_the_choice_is_explained_with_every_candidate() -> None:
    write(AGENTS)
    steps = printed(f"pipelines assemble {WANTED} --explain")["explanation"]["steps"]
    outcomes = {one["agent_id"]: one["outcome"] for one in steps[1]["candidates"]}
    assert outcomes == {"once": "chosen", "twice": "possible", "stream_processor": "rejected"}
    table = run(f"pipelines assemble {WANTED} --explain --output table").stdout
    assert "twice: possible, a chain with it is as good, but its ids come later" in table
    assert "success_rate 0.50 (not measured)" in table


def test_what_earlier_runs_have_measured_decides_and_is_shown() -> None:
    write({**AGENTS, "data_pipelines": {"orders": DECLARED}})
    failing = SavedAgent(successes=1, failures=19, seconds=0.1)
    ScoreFile(state_folder(FILE)).add({"once": failing})
    assert chain(printed(f"pipelines assemble {WANTED}")) == ["check", "twice"]
    table = run("pipelines show orders --explain --output table").stdout
    assert "success_rate 0.09 (5.0% of 20 calls)" in table
    suggested = printed("agents suggest data_validation stream_processing")["chains"]
    assert suggested[0]["agents"] == ["check", "twice"]
    assert "twice" in run(f"plan {FILE}#orders").stdout


def test_why_there_is_no_chain_is_explained_on_standard_error() -> None:
    write(AGENTS)
    failed = run("pipelines assemble data_validation batch_processing --explain")
    assert "step 2: batch_processing (here no chain goes on)" in failed.stderr
    assert "batch_processor: rejected, does not take what step 1 gives" in failed.stderr
    assert failed.stdout == ""


def test_show_and_run_explain_too(monkeypatch: pytest.MonkeyPatch) -> None:
    write({**AGENTS, "data_pipelines": {"orders": DECLARED}})
    shown = printed("pipelines show orders --explain")
    assert shown["plan"] == printed("pipelines show orders")
    assert shown["explanation"]["chain"] == ["check", "once"]
    assert "once: chosen" in run("pipelines show orders --explain --output table").stdout
    monkeypatch.setenv("STREAMAPP_KAFKA_CONNECT_TIMEOUT_SECONDS", "0.1")
    command = "pipelines run orders --explain --no-web --bootstrap-servers 127.0.0.1:1"
    assert "once: chosen" in run(command).stdout


def test_a_pipeline_without_a_sink_is_shown() -> None:
    stages = DECLARED["stages"]
    write({**AGENTS, "data_pipelines": {"orders": {"source": "orders", "stages": stages}}})
    assert printed("pipelines show orders")["pipeline"] == "orders"


def test_what_was_assembled_can_be_saved_under_a_name() -> None:
    write({**AGENTS, "cli_settings": {"auto_save": False}})
    assembled = run(f"pipelines assemble {WANTED} --source orders --sink clean").stdout
    assert printed("pipelines save orders", assembled)["change"] == "saved"
    Path("bare.json").write_text(json.dumps(DECLARED))
    assert printed("pipelines save other bare.json")["file"] == str(FILE)
    assert saved() == {"orders": DECLARED, "other": DECLARED}


def test_all_stages_that_cannot_be_made_are_told_where_they_were_given() -> None:
    write(AGENTS)
    stages = [{"agent": "once", "name": name, "after_hold": "stop"} for name in ("a", "b")]
    given = json.dumps({**DECLARED, "stages": stages})
    lines = refusal("pipelines save other -", given).splitlines()
    places = [given.index('{"agent"'), given.rindex('{"agent"')]
    assert [line.split(": ")[:2] for line in lines] == [
        [f"standard input:1:{place + 1}", f"data_pipelines.other.stages[{number}]"]
        for number, place in enumerate(places)
    ]


def test_a_wrong_declaration_is_told_with_its_place_and_not_saved() -> None:
    write({**AGENTS, "data_pipelines": {"orders": DECLARED}})
    wrong = json.dumps({"declaration": {**DECLARED, "sorce": "a"}})
    told = refusal("pipelines save other -", wrong)
    assert told.startswith(f"standard input:1:{wrong.index('sorce')}: data_pipelines.other.sorce")
    assert "or give --replace" in refusal("pipelines save orders", json.dumps(DECLARED))
    impossible = {**DECLARED, "stages": DECLARED["stages"][::-1]}
    impossible["exclude"] = ["check"]
    assert "step 2 (data_validation)" in refusal("pipelines save other", json.dumps(impossible))
    assert refusal("pipelines save other", "null").startswith("standard input:1:1: ")
    assert saved() == {"orders": DECLARED}
    changed = {**DECLARED, "sink": "cleaner"}
    assert printed("pipelines save orders --replace", json.dumps(changed))["change"] == "replaced"
    assert saved() == {"orders": changed}
