import pytest

from streamapp.cli.environment import misspelt_settings


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
    assert list(misspelt_settings(["PATH", name])) == [
        f"{name} is not a setting and is ignored; did you mean {meant}?"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "STREAMAPP_KAFKA_PASSWORD",
        "streamapp_kafka_password",
        "STREAMAPP_WEB_PORT",
        "STREAMAPP_VERSION",
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
    assert not list(misspelt_settings([name]))
