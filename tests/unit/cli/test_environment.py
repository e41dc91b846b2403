import re
from pathlib import Path

import pytest

from streamapp.cli.environment import refuse_unknown_settings, unknown_settings
from streamapp.errors import ConfigurationError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STREAMAPP_KAFKA_BOOTSTRAP_SERVER", "STREAMAPP_KAFKA_BOOTSTRAP_SERVERS"),
        ("STREAMAPP_BOOTSTRAP_SERVERS", "STREAMAPP_KAFKA_BOOTSTRAP_SERVERS"),
        ("STREAMAPP_KAFKA_USER", "STREAMAPP_KAFKA_USERNAME"),
        ("STREAMAPP_KAFKA_SASL_PASSWORD", "STREAMAPP_KAFKA_PASSWORD"),
        ("STREAMAPP_WEBPORT", "STREAMAPP_WEB_PORT"),
    ],
)
def test_a_variable_close_to_a_setting_is_told_with_the_setting(name: str, meant: str) -> None:
    assert list(unknown_settings(["PATH", name])) == [
        f"the variable {name} is not a setting; did you mean {meant}?"
    ]


def test_a_variable_close_to_no_setting_is_told_to_have_another_name() -> None:
    assert next(unknown_settings(["STREAMAPP_VERSION"])) == (
        "the variable STREAMAPP_VERSION is not a setting; names with STREAMAPP_ are settings only,"
        " so unset it or give it another name"
    )


def test_every_unknown_variable_is_refused_in_a_line_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match=r"STREAMAPP_X .*\n.*STREAMAPP_Y "):
        refuse_unknown_settings(["STREAMAPP_Y", "STREAMAPP_X", "STREAMAPP_WEB_PORT"])


@pytest.mark.parametrize(
    "name",
    [
        "STREAMAPP_KAFKA_PASSWORD",
        "streamapp_kafka_password",
        "STREAMAPP_WEB_PORT",
        "KAFKA_PASSWRD",
        # what Kubernetes injects for services named streamapp, streamapp-kafka and streamapp-web
        "STREAMAPP_PORT",
        "STREAMAPP_SERVICE_HOST",
        "STREAMAPP_KAFKA_PORT",
        "STREAMAPP_KAFKA_PORT_9092_TCP_ADDR",
        "STREAMAPP_KAFKA_SERVICE_PORT_CLIENT",
        "STREAMAPP_WEB_SERVICE_PORT",
    ],
)
def test_settings_and_what_others_have_set_are_passed_over(name: str) -> None:
    assert not list(unknown_settings([name]))


def test_every_variable_that_the_code_and_the_documents_name_is_a_setting() -> None:
    files = [ROOT / "README.md", ROOT / "docker-compose.yml"]
    for folder, kind in (("streamapp", "*.py"), ("docs", "*.md"), ("deploy", "*")):
        files += [file for file in (ROOT / folder).rglob(kind) if file.is_file()]
    named = {
        name
        for file in files
        for name in re.findall(r"\bSTREAMAPP_[A-Z_]*[A-Z]\b", file.read_text(errors="ignore"))
        if not name.endswith(("_SERVICE_HOST", "_SERVICE_PORT"))
    }
    assert len(named) > 20
    assert list(unknown_settings(named)) == []
