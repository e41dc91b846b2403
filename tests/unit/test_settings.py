from collections.abc import Mapping
from pathlib import Path

import pytest

from streamapp.errors import ConfigurationError
from streamapp.settings import KafkaSettings

PREFIX = "STREAMAPP_KAFKA_"
HUSH = "hush-hush"
ALSO_HUSH = "also-hush"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in KafkaSettings.model_fields:
        monkeypatch.delenv(PREFIX + field.upper(), raising=False)


def set_environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)


def refusal(**values: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        KafkaSettings(**values)
    assert caught.value.__context__ is None
    return str(caught.value)


CLIENT = {
    "oauth_token_url": "https://login.example/token",
    "oauth_client_id": "ann",
    "oauth_client_secret": ALSO_HUSH,
}
OAUTH = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
SASL = {"security_protocol": "SASL_SSL", "username": "ann", "password": HUSH}
PLAIN = {**SASL, "sasl_mechanism": "PLAIN"}
WITH_ALL: Mapping[str, Mapping[str, str]] = {
    "password": PLAIN,
    "ssl_key_password": {**PLAIN, "ssl_key_password": ALSO_HUSH},
    "oauth_client_secret": {**OAUTH, **CLIENT},
}


def test_without_an_environment_it_is_the_local_broker_in_clear() -> None:
    settings = KafkaSettings()
    assert settings.servers == ["127.0.0.1:9092"]
    assert settings.security_protocol == "PLAINTEXT"
    assert not settings.uses_sasl
    assert not settings.uses_tls


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(
        monkeypatch,
        bootstrap_servers="kafka-1:9093, [::1]:9094",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        username="ann",
        password=HUSH,
    )
    settings = KafkaSettings()
    assert settings.servers == ["kafka-1:9093", "[::1]:9094"]
    assert settings.password is not None
    assert settings.password.get_secret_value() == HUSH


def test_compression_is_off_unless_a_codec_of_kafka_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert KafkaSettings().compression == "none"
    set_environment(monkeypatch, compression="zstd")
    assert KafkaSettings().compression == "zstd"
    assert refusal(compression="brotli") == (
        f"{PREFIX}COMPRESSION input should be 'none', 'gzip', 'snappy', 'lz4' or 'zstd'"
    )


def test_keywords_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, bootstrap_servers="elsewhere:1")
    assert KafkaSettings(bootstrap_servers="here:2").servers == ["here:2"]


@pytest.mark.parametrize("bad", ["localhost", "host:", ":9092", "host:0", "host:70000", "a:1,,b:2"])
def test_a_server_that_is_not_host_and_port_is_refused(
    bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, bootstrap_servers=bad)
    assert refusal() == (
        "STREAMAPP_KAFKA_BOOTSTRAP_SERVERS must be host:port, several separated by commas"
    )


def test_an_unknown_protocol_is_refused_by_the_name_of_its_variable() -> None:
    message = refusal(security_protocol="TLS")
    assert message.startswith("STREAMAPP_KAFKA_SECURITY_PROTOCOL input should be 'PLAINTEXT'")


@pytest.mark.parametrize("missing", ["sasl_mechanism", "username", "password"])
def test_sasl_without_one_of_its_parts_is_refused(missing: str) -> None:
    values = {**SASL, "sasl_mechanism": "PLAIN"}
    del values[missing]
    assert refusal(**values) == (
        f"{PREFIX}{missing.upper()} is missing, and {PREFIX}SECURITY_PROTOCOL=SASL_SSL needs it"
    )


def test_credentials_without_sasl_are_refused() -> None:
    assert refusal(password=HUSH) == (
        "STREAMAPP_KAFKA_PASSWORD is set, but STREAMAPP_KAFKA_SECURITY_PROTOCOL=PLAINTEXT "
        "does not use it"
    )


def test_a_password_in_clear_needs_an_explicit_yes() -> None:
    values = {**SASL, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
    assert "STREAMAPP_KAFKA_ALLOW_PLAIN_WITHOUT_TLS=true" in refusal(**values)
    assert KafkaSettings(**values, allow_plain_without_tls=True).uses_sasl


def test_scram_without_tls_is_accepted() -> None:
    values = {**SASL, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256"}
    assert not KafkaSettings(**values).uses_tls


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    assert refusal(security_protocol="SSL", ssl_cafile=missing) == (
        f"STREAMAPP_KAFKA_SSL_CAFILE names a file that does not exist: {missing}"
    )


def test_tls_files_without_tls_are_refused(tmp_path: Path) -> None:
    cafile = tmp_path / "ca.pem"
    cafile.touch()
    assert "STREAMAPP_KAFKA_SSL_CAFILE is set, but" in refusal(ssl_cafile=cafile)


def test_a_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    keyfile = tmp_path / "key.pem"
    keyfile.touch()
    assert refusal(security_protocol="SSL", ssl_keyfile=keyfile) == (
        "STREAMAPP_KAFKA_SSL_KEYFILE needs STREAMAPP_KAFKA_SSL_CERTFILE"
    )


def test_an_unknown_keyword_is_refused() -> None:
    assert refusal(user="x") == ("STREAMAPP_KAFKA_USER is not a setting of Kafka connections")


def test_a_bad_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, connect_timeout_seconds="soon")
    assert refusal().startswith("STREAMAPP_KAFKA_CONNECT_TIMEOUT_SECONDS input should be a valid")


@pytest.mark.parametrize("name", ["password", "ssl_key_password", "oauth_client_secret"])
def test_a_secret_stands_in_a_file_without_the_line_break_at_its_end(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{HUSH}\n")
    others = {field: value for field, value in WITH_ALL[name].items() if field != name}
    set_environment(monkeypatch, **{f"{name}_file": str(file)})
    secret = getattr(KafkaSettings(**others), name)
    assert secret.get_secret_value() == HUSH


def test_a_secret_in_a_file_and_in_a_variable_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(HUSH)
    assert refusal(**PLAIN, password_file=file) == (
        "STREAMAPP_KAFKA_PASSWORD and STREAMAPP_KAFKA_PASSWORD_FILE are both set"
    )


def test_a_secret_file_that_is_missing_is_named(tmp_path: Path) -> None:
    values = {**PLAIN, "password_file": tmp_path / "secret"}
    del values["password"]
    assert refusal(**values) == (
        f"STREAMAPP_KAFKA_PASSWORD_FILE names a file that cannot be read: {tmp_path / 'secret'}:"
        " No such file or directory"
    )


@pytest.mark.parametrize("name", ["username", "password"])
def test_a_line_break_at_the_end_of_a_variable_is_told_without_its_value(name: str) -> None:
    message = refusal(**{**PLAIN, name: f"{HUSH}\n"})
    assert message.startswith(f"{PREFIX}{name.upper()} ends with a line break")
    assert HUSH not in message


def test_tokens_come_from_a_file_or_for_client_credentials(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("abc")
    assert KafkaSettings(**OAUTH, oauth_token_file=file).oauth_token_file == file
    assert KafkaSettings(**OAUTH, **CLIENT).oauth_client_id == "ann"


@pytest.mark.parametrize("missing", ["oauth_client_id", "oauth_client_secret"])
def test_an_endpoint_without_client_credentials_is_refused(missing: str) -> None:
    values = {**OAUTH, **CLIENT}
    del values[missing]
    assert refusal(**values) == (
        f"{PREFIX}{missing.upper()} is missing, and {PREFIX}OAUTH_TOKEN_URL needs it"
    )


def test_tokens_without_a_source_are_refused() -> None:
    assert refusal(**OAUTH) == (
        f"{PREFIX}SASL_MECHANISM=OAUTHBEARER needs {PREFIX}OAUTH_TOKEN_FILE or"
        f" {PREFIX}OAUTH_TOKEN_URL"
    )


def test_tokens_with_two_sources_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("abc")
    assert refusal(**OAUTH, **CLIENT, oauth_token_file=file) == (
        f"{PREFIX}OAUTH_TOKEN_URL is set, but {PREFIX}OAUTH_TOKEN_FILE does not use it"
    )


def test_what_another_mechanism_uses_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("abc")
    assert refusal(**PLAIN, oauth_token_file=file) == (
        f"{PREFIX}OAUTH_TOKEN_FILE is set, but {PREFIX}SASL_MECHANISM=PLAIN does not use it"
    )
    assert refusal(**OAUTH, username="ann", oauth_token_file=file) == (
        f"{PREFIX}USERNAME is set, but {PREFIX}SASL_MECHANISM=OAUTHBEARER does not use it"
    )


def test_a_token_in_clear_needs_an_explicit_yes() -> None:
    values = {**OAUTH, **CLIENT, "security_protocol": "SASL_PLAINTEXT"}
    assert "OAUTHBEARER without TLS sends the token in clear" in refusal(**values)
    assert KafkaSettings(**values, allow_plain_without_tls=True).uses_sasl


@pytest.mark.parametrize(
    "url", ["http://login.example/token", f"https://ann:{HUSH}@login.example/token", "login"]
)
def test_client_credentials_go_to_an_endpoint_with_tls_only(url: str) -> None:
    message = refusal(**{**OAUTH, **CLIENT, "oauth_token_url": url})
    assert message.startswith(f"{PREFIX}OAUTH_TOKEN_URL must be an address with https://")
    assert HUSH not in message


def test_an_endpoint_on_this_machine_may_do_without_tls() -> None:
    url = "http://127.0.0.1:8080/token"
    values = {**OAUTH, **CLIENT, "oauth_token_url": url}
    assert KafkaSettings(**values).oauth_token_url == url


def test_secrets_show_nowhere() -> None:
    settings = KafkaSettings(**SASL, sasl_mechanism="PLAIN", ssl_key_password=ALSO_HUSH)
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert HUSH not in shown
    assert ALSO_HUSH not in shown


def test_errors_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, password=HUSH, bootstrap_servers=f"ann:{HUSH}@host:1")
    assert HUSH not in refusal()
    assert HUSH not in refusal(bootstrap_servers="h:1", security_protocol=HUSH)
