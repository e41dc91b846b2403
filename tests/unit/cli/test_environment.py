import pytest

from streamapp.cli.environment import refuse_unknown_settings, unknown_settings
from streamapp.errors import ConfigurationError


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
