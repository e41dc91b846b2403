"""`streamapp config` and `streamapp agents`."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamapp.cli.main import exit_code_of
from streamapp.configuration.schema import configuration_schema
from streamapp.errors import StreamappError
from streamapp.observability.alerts.rule_file import rules
from tests.unit.cli.commands import printed, run, write
from tests.unit.configuration.hostile import AGENT, HOSTILE, provider

CHECK = {
    **AGENT,
    "agent_class": "Validator",
    "module_path": "streamapp.agents.validator",
    "capabilities": ["data_validation"],
    "configuration": {"json_schema": {"type": "object"}},
    "description": "Checks \u001b[31morders.",
}
AGENTS = {"data_agents": {"once": AGENT, "check": CHECK}}
KEY = "sk-51Hx"
pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("command", ["config show", "config lint", "agents list", "agents show a"])
@pytest.mark.parametrize("name", ["duplicate section", "traversal", "utf-16", "key in the file"])
def test_every_command_refuses_a_hostile_file_with_the_code_of_configuration(
    command: str, name: str
) -> None:
    content, expected = HOSTILE[name]
    write(content)
    result = run(command)
    assert isinstance(result.exception, StreamappError)
    assert expected in str(result.exception)
    assert exit_code_of(result.exception).name == "CONFIGURATION"
    assert result.stdout == ""
    assert Path("atomic_data_config.json").read_bytes() == content


def test_show_works_without_a_file() -> None:
    shown = printed("config show")
    assert shown["cli_settings"] == {
        "log_level": "INFO",
        "output_format": "json",
        "auto_save": True,
    }
    assert shown["data_agents"] == {}


def test_show_says_where_each_value_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    write({**AGENTS, "cli_settings": {"output_format": "table", "log_level": "ERROR"}})
    monkeypatch.setenv("STREAMAPP_CLI_SETTINGS_LOG_LEVEL", "DEBUG")
    rows = [line.split() for line in run("config show").stdout.splitlines()]
    assert ["cli_settings.log_level", "DEBUG", "STREAMAPP_CLI_SETTINGS_LOG_LEVEL"] in rows
    assert ["cli_settings.output_format", "table", "file,", "line", "1"] in rows
    assert ["cli_settings.auto_save", "true", "default"] in rows
    agent = ["data_agents.once", "streamapp.agents.deduplicator:Deduplicator"]
    assert [*agent, "file,", "line", "1"] in rows


def test_json_says_where_each_value_comes_from_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"cli_settings": {"output_format": "table", "log_level": "ERROR"}}
    pipelines = {"data_pipelines": {"a.b": {"source": "a", "stages": [{"agent": "once"}]}}}
    Path("mine.json").write_text(json.dumps({**AGENTS, **pipelines, **settings}, indent=1))
    lines = Path("mine.json").read_text().splitlines()
    monkeypatch.setenv("STREAMAPP_CLI_SETTINGS_LOG_LEVEL", "DEBUG")
    shown = printed("config show --config mine.json --output json")
    found = shown.pop("origins")

    def at(text: str) -> dict[str, Any]:
        [line] = [number for number, one in enumerate(lines, 1) if one.startswith(text)]
        return {"from": "file", "file": "mine.json", "line": line}

    assert found["cli_settings"] == {
        "log_level": {"from": "environment", "variable": "STREAMAPP_CLI_SETTINGS_LOG_LEVEL"},
        "output_format": at('  "output_format"'),
        "auto_save": {"from": "default"},
    }
    assert found["data_monitoring"]["enabled"] == {"from": "default"}
    assert found["data_agents"] == {"check": at('  "check"'), "once": at('  "once"')}
    assert found["data_pipelines"] == {"a.b": at('  "a.b"')}
    # Every value that is shown has an origin, by the same names.
    assert {section: set(of) for section, of in shown.items() if of} == {
        section: set(of) for section, of in found.items()
    }


@pytest.mark.parametrize("command", ["config show", "config show --output table", "config lint"])
def test_no_command_prints_the_value_of_a_secret(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(provider(key_from_environment="MODELS_KEY"))
    monkeypatch.setenv("MODELS_KEY", KEY)
    result = run(command)
    assert result.exit_code == 0
    assert KEY not in result.output
    monkeypatch.delenv("MODELS_KEY")
    assert "is not set" in run("config lint").stderr


def test_lint_counts_what_it_found() -> None:
    write(AGENTS)
    told = run("config lint").stdout
    assert told == "atomic_data_config.json: 2 agents, 0 pipelines, 0 providers, no faults\n"


def test_lint_tells_the_place_of_an_agent_that_cannot_be_made_unless_it_only_reads() -> None:
    wrong = {"data_agents": {"once": {**AGENT, "configuration": {"window": 60}}}}
    Path("atomic_data_config.json").write_text(json.dumps(wrong, indent=1))
    missing, unknown = str(run("config lint").exception).splitlines()
    where = "data_agents.once.configuration"
    assert missing == f"atomic_data_config.json:11:4: {where}.key: is missing; add it"
    assert unknown.startswith(f"atomic_data_config.json:12:5: {where}.window: there is no such")
    assert run("config lint --no-import").exit_code == 0


@pytest.mark.parametrize("command", ["config lint", "pipelines show orders"])
def test_what_is_no_fault_is_told_with_its_place_and_changes_no_exit_code(command: str) -> None:
    pipeline = {"source": "orders", "stages": [{"agent": "once"}]}
    write({**AGENTS, "data_pipelines": {"orders": pipeline}})
    result = run(command)
    assert result.exit_code == 0
    assert result.stderr.startswith("streamapp: atomic_data_config.json:1:")
    assert "data_pipelines.orders.stages[0]: the outputs of the last stage" in result.stderr


def test_what_is_no_fault_is_told_although_there_are_faults() -> None:
    stages = [{"agent": "once", "error_policy": "drop", "retry_count": 3}, {"agent": "onec"}]
    fine = {"source": "orders", "sink": "clean", "stages": stages[:1]}
    pipelines = {"orders": {**fine, "stages": stages}, "fine": fine}
    write({**AGENTS, "data_pipelines": pipelines})
    result = run("config lint")
    assert isinstance(result.exception, StreamappError)
    assert "data_pipelines.fine.stages[0].retry_count: this has no effect" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "pipelines show orders",
        "pipelines run orders",
        "pipelines execute orders",
        "plan atomic_data_config.json#orders",
    ],
)
def test_every_command_tells_all_faults_of_a_pipeline_with_their_places(command: str) -> None:
    stages = [{"agent": "once", "name": name, "after_hold": "stop"} for name in ("a", "b")]
    pipeline = {"source": "orders", "sink": "clean", "stages": stages}
    write({**AGENTS, "data_pipelines": {"orders": pipeline}})
    error = run(command).exception
    assert isinstance(error, StreamappError)
    lines = str(error).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        f"data_pipelines.orders.stages[{place}]" for place in (0, 1)
    ]
    assert all(line.startswith("atomic_data_config.json:1:") for line in lines)


def test_the_schema_is_printed() -> None:
    assert printed("config schema") == configuration_schema()


def test_a_misspelt_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMAPP_CLI_SETTINGS_LOGLEVEL", "DEBUG")
    assert "did you mean STREAMAPP_CLI_SETTINGS_LOG_LEVEL?" in str(run("config lint").exception)


def test_the_file_of_the_variable_is_read_and_the_option_stands_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("a.json").write_text('{"data_agents": {}}')
    Path("b.json").write_text(json.dumps(AGENTS))
    monkeypatch.setenv("STREAMAPP_CONFIG_FILE", "b.json")
    assert set(printed("config show")["data_agents"]) == {"check", "once"}
    assert printed("config show --config a.json")["data_agents"] == {}


def test_agents_are_listed_by_id_with_those_that_ship() -> None:
    write(AGENTS)
    ids = [one["agent_id"] for one in printed("agents list")]
    assert ids == ["batch_processor", "check", "data_transformer", "once", "stream_processor"]
    listed = printed("agents list --capability data_validation")
    assert [one["agent_id"] for one in listed] == ["check"]


def test_an_agent_of_the_file_takes_the_place_of_one_that_ships() -> None:
    write({"data_agents": {"stream_processor": AGENT}})
    assert printed("agents show stream_processor")["agent_class"] == "Deduplicator"


def test_a_table_shows_control_characters_and_does_not_run_them() -> None:
    write(AGENTS)
    table = run("agents list --capability data_validation --output table").stdout
    assert "\u001b" not in table
    assert table.splitlines()[1].split()[:4] == ["check", "data_validation", "Order", "Order"]
    assert "Checks \\x1b[31morders." in table


def test_an_empty_table_says_so() -> None:
    table = run("agents list --capability data_validation --output table").stdout
    assert table.startswith("There are no such agents")


def test_a_misspelt_agent_gets_the_nearest_id() -> None:
    write(AGENTS)
    assert "did you mean 'check'?" in str(run("agents show chek").exception)


def test_chains_are_suggested() -> None:
    write(AGENTS)
    found = printed("agents suggest data_validation stream_processing")
    assert [one["agents"] for one in found["chains"]] == [["check", "once"]]
    assert found["has_more"] is False
    table = run("agents suggest data_validation stream_processing --output table").stdout
    assert "check > once" in table
    none = "agents suggest data_validation stream_processing --exclude once"
    assert printed(none)["chains"] == []
    assert run(f"{none} --output table").stdout.startswith("No chain of agents leads from")


PIPELINES: dict[str, Any] = {
    **AGENTS,
    "data_pipelines": {
        "orders": {
            "source": "orders",
            "sink": "orders.clean",
            "stages": [{"agent": "check"}, {"capability": "stream_processing"}],
        }
    },
}


def test_pipelines_are_listed_and_shown() -> None:
    write(PIPELINES)
    assert [one["name"] for one in printed("pipelines list")] == ["orders"]
    table = run("pipelines list --output table").stdout.splitlines()
    assert table[1].split() == [
        "orders",
        "orders",
        "check",
        ">",
        "stream_processing",
        "orders.clean",
    ]
    assert printed("pipelines show orders") == printed(
        "plan atomic_data_config.json#orders --output json"
    )
    assert "agent           check" in run("pipelines show orders --output table").stdout


def test_without_pipelines_the_table_says_so() -> None:
    assert run("pipelines list --output table").stdout.startswith("There are no pipelines")


@pytest.mark.parametrize("command", ["show", "run"])
def test_a_pipeline_that_is_not_declared_is_refused(command: str) -> None:
    write(PIPELINES)
    error = run(f"pipelines {command} order").exception
    assert isinstance(error, StreamappError)
    assert "did you mean 'orders'?" in str(error)
    assert exit_code_of(error).name == "CONFIGURATION"


def test_a_declared_pipeline_is_run_on_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    write(PIPELINES)
    monkeypatch.setenv("STREAMAPP_KAFKA_CONNECT_TIMEOUT_SECONDS", "0.1")
    error = run("pipelines run orders --no-web --bootstrap-servers 127.0.0.1:1").exception
    assert isinstance(error, StreamappError)
    assert exit_code_of(error).name == "BROKER_UNREACHABLE"


def test_the_log_has_the_level_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    write({"cli_settings": {"log_level": "DEBUG"}})
    run("config lint")
    assert logging.getLogger().level == logging.DEBUG
    monkeypatch.setenv("STREAMAPP_CLI_SETTINGS_LOG_LEVEL", "ERROR")
    run("agents list")
    assert logging.getLogger().level == logging.ERROR


def test_alert_rules_are_printed_for_the_pipelines_of_the_file() -> None:
    stages = [{"agent": "once"}, {"agent": "check"}]
    pipelines = {name: {"source": "in", "sink": name, "stages": stages} for name in ("a", "b")}
    write({**AGENTS, "data_pipelines": pipelines})
    found = yaml.safe_load(run("config alerts").stdout)
    alerts = [rule for group in found["groups"] for rule in group["rules"] if "alert" in rule]
    names = [rule["labels"].get("pipeline") for rule in alerts]
    assert names == [*[None] * len(rules()), "a", "b"]


def test_pipelines_that_no_file_declares_are_missed_too_if_they_are_named() -> None:
    found = yaml.safe_load(run("config alerts --pipeline mine --pipeline yours").stdout)
    names = [rule["labels"]["pipeline"] for rule in found["groups"][-1]["rules"]]
    assert names == ["mine", "yours"]


def test_objectives_and_the_address_of_runbooks_can_be_given() -> None:
    write({**AGENTS, "data_pipelines": {"a": {"source": "x", "stages": [{"agent": "once"}]}}})
    options = "--lag-objective 60 --success-objective 99 --runbooks https://books.example/"
    found = yaml.safe_load(run(f"config alerts {options}").stdout)
    alerts = {
        rule["alert"]: rule
        for group in found["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert "> 60 and" in alerts["StreamappLagNotDraining"]["expr"]
    assert "rate1h > 0.144 " in alerts["StreamappErrorBudgetBurnFast"]["expr"]
    page = alerts["StreamappStageHeld"]["annotations"]["runbook_url"]
    assert page == "https://books.example/StreamappStageHeld.md"


@pytest.mark.parametrize("field", ["enabled", "performance_alerts"])
def test_there_are_no_alert_rules_where_they_are_not_wanted(field: str) -> None:
    stages = [{"agent": "once"}, {"agent": "check"}]
    write(
        {
            **AGENTS,
            "data_pipelines": {"a": {"source": "in", "sink": "out", "stages": stages}},
            "data_monitoring": {field: False},
        }
    )
    result = run("config alerts")
    assert yaml.safe_load(result.stdout) == {"groups": []}
    assert result.stderr == f"streamapp: data_monitoring.{field} is false: there are no rules\n"


def test_a_pipeline_that_needs_more_than_the_machine_has_is_told_or_refused() -> None:
    large = {**CHECK, "resource_requirements": {"memory_mb": 1e12}}
    declared = {"source": "in", "sink": "out", "stages": [{"agent": "large"}, {"agent": "once"}]}
    agents = {"once": AGENT, "large": large}
    told = "pipeline 'a': memory: its agents need 1e+12 MB, and the machine has "
    write({"data_agents": agents, "data_pipelines": {"a": declared}})
    for command in ("config lint", "pipelines show a", "plan atomic_data_config.json#a"):
        assert run(command).stderr.startswith(f"streamapp: {told}")
    write({"data_agents": agents, "data_pipelines": {"a": {**declared, "refuse_excess": True}}})
    assert "1:" in str(run("config lint").exception)
    for command in ("config lint", "pipelines show a", "plan atomic_data_config.json#a"):
        assert "'a' does not fit the machine: memory: its" in str(run(command).exception)


def test_of_many_warnings_some_are_shown() -> None:
    large = {**AGENT, "resource_requirements": {"memory_mb": 1e12}}
    stages = [{"agent": "large"}, {"agent": "large"}]
    pipelines = {f"p{n}": {"source": "in", "sink": f"o{n}", "stages": stages} for n in range(30)}
    write({"data_agents": {"large": large}, "data_pipelines": pipelines})
    lines = run("config lint").stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "streamapp: and 10 more such warnings"
