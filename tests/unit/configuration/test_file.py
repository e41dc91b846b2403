import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.file import ConfigurationFile, read_configuration
from streamapp.configuration.lint import lint
from streamapp.configuration.sections import CliSettings, DataMonitoring
from streamapp.errors import ConfigurationError
from streamapp.registry.instantiate import make_agent
from tests.unit.configuration.hostile import AGENT


def written(folder: Path, content: dict[str, Any] | str, **environment: str) -> ConfigurationFile:
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_configuration(path, environment)


def test_without_a_file_all_has_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read = read_configuration(environment={})
    assert read.path == Path("atomic_data_config.json")
    assert read.configuration.model_dump() == {
        "data_agents": {},
        "data_pipelines": {},
        "data_providers": {},
        "cli_settings": {"log_level": "INFO", "output_format": "json", "auto_save": True},
        "data_monitoring": {
            "enabled": True,
            "metrics_retention_days": 7,
            "performance_alerts": True,
        },
    }


def test_the_file_in_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("atomic_data_config.json").write_text('{"cli_settings": {"log_level": "DEBUG"}}')
    assert read_configuration(environment={}).configuration.cli_settings.log_level == "DEBUG"


def test_a_section_keeps_the_defaults_of_what_it_leaves_out(tmp_path: Path) -> None:
    read = written(tmp_path, {"cli_settings": {"auto_save": False}}).configuration
    assert read.cli_settings == CliSettings(auto_save=False)
    assert read.data_monitoring == DataMonitoring()


def test_the_environment_stands_above_the_file_and_an_empty_variable_does_not(
    tmp_path: Path,
) -> None:
    read = written(
        tmp_path,
        {"cli_settings": {"log_level": "ERROR", "output_format": "table"}},
        STREAMAPP_CLI_SETTINGS_LOG_LEVEL="DEBUG",
        STREAMAPP_CLI_SETTINGS_OUTPUT_FORMAT="",
        STREAMAPP_CLI_SETTINGS_AUTO_SAVE="false",
        STREAMAPP_DATA_MONITORING_METRICS_RETENTION_DAYS="30",
    ).configuration
    assert read.cli_settings.model_dump() == {
        "log_level": "DEBUG",
        "output_format": "table",
        "auto_save": False,
    }
    assert read.data_monitoring.metrics_retention_days == 30


def test_a_wrong_variable_is_named_and_so_are_the_faults_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        written(
            tmp_path,
            '{"cli_settings": {\n"auto_save": 1,\n"log_level": "LOUD"},\n"data_agent": {}}',
            STREAMAPP_DATA_MONITORING_ENABLED="perhaps",
        )
    lines = str(refused.value).replace(str(tmp_path), "").splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "/config.json:2:1:",
        "/config.json:3:1:",
        "/config.json:4:1:",
        "STREAMAPP_DATA_MONITORING_ENABLED:",
    ]


def test_agents_are_the_same_in_every_order_of_the_file(tmp_path: Path) -> None:
    agents = {
        f"step-{number}": {**AGENT, "input_schema": f"S{number}", "output_schema": f"S{number + 1}"}
        for number in range(20)
    }
    expected = None
    for seed in range(5):
        names = list(agents)
        Random(seed).shuffle(names)
        read = written(tmp_path, {"data_agents": {name: agents[name] for name in names}})
        listed = registry_of(read.configuration).list()
        assert expected is None or listed == expected
        expected = listed
    assert expected is not None
    assert {one.agent_id for one in expected} >= set(agents)


def test_a_declared_agent_can_be_made(tmp_path: Path) -> None:
    read = written(tmp_path, {"data_agents": {"once": AGENT}})
    assert make_agent(registry_of(read.configuration), "once").name == "once"


def test_an_agent_has_the_provider_that_it_names(tmp_path: Path) -> None:
    read = written(
        tmp_path,
        {
            "data_agents": {"once": {**AGENT, "configuration": {"provider": "models"}}},
            "data_providers": {
                "models": {
                    "kind": "openai",
                    "base_url": "https://models.example/v1",
                    "key_from_environment": "MODELS_KEY",
                    "limits": {"calls_per_minute": 60},
                }
            },
        },
        MODELS_KEY="sk-51Hx",
    )
    assert read.configuration.data_agents["once"].configuration == {
        "provider": {
            "kind": "openai",
            "base_url": "https://models.example/v1",
            "key_from_environment": "MODELS_KEY",
            "calls_per_minute": 60,
        }
    }
    assert "sk-51Hx" not in repr(read)


def test_names_of_variables_of_secrets_are_no_secrets(tmp_path: Path) -> None:
    configuration = {"headers_from_environment": {"Authorization": "SHOP_TOKEN"}, "token": None}
    read = written(tmp_path, {"data_agents": {"once": {**AGENT, "configuration": configuration}}})
    assert read.configuration.data_agents["once"].configuration == configuration


def test_other_packages_are_allowed_by_name(tmp_path: Path) -> None:
    shop = {**AGENT, "module_path": "shop.agents.orders"}
    data = {"data_agents": {"once": shop}}
    read = written(tmp_path, data, STREAMAPP_ALLOWED_PACKAGES=" shop, books,")
    allowed = ("streamapp.agents", "shop", "books")
    assert registry_of(read.configuration).importer.allowed == allowed
    lint(read, makes=False)
    with pytest.raises(ConfigurationError) as refused:
        lint(written(tmp_path, data, STREAMAPP_ALLOWED_PACKAGES="books"), makes=False)
    assert str(refused.value) == (
        f"{tmp_path}/config.json:1:58: data_agents.once.module_path:"
        " shop.agents.orders:Deduplicator: the module is in no allowed package; if you trust it,"
        " start with --allow-package shop, or set STREAMAPP_ALLOWED_PACKAGES=shop"
    )


def test_packages_of_the_call_are_allowed_beside_those_of_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    variables = {"STREAMAPP_ALLOWED_PACKAGES": "shop"}
    read = read_configuration(path, variables, packages=["books", "shop"])
    assert read.configuration.allowed_packages == ("shop", "books")
    assert variables == {"STREAMAPP_ALLOWED_PACKAGES": "shop"}


@pytest.mark.parametrize(
    ("packages", "told"),
    [
        (
            "shop.agents",
            "'shop.agents' is allowed, but .*; allow 'shop': .* --allow-package shop,",
        ),
        ("../shop", "'../shop' is no name of a package"),
    ],
)
def test_wrong_names_of_packages_are_refused(tmp_path: Path, packages: str, told: str) -> None:
    names = "--allow-package or STREAMAPP_ALLOWED_PACKAGES"
    with pytest.raises(ConfigurationError, match=f"^{names}: {told}"):
        written(tmp_path, {}, STREAMAPP_ALLOWED_PACKAGES=packages)
