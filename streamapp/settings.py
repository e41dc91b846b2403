"""Settings from the environment: the connection to Kafka."""

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamapp.errors import ConfigurationError
from streamapp.secret_files import FILE_SUFFIX, read_secret

_PREFIX = "STREAMAPP_KAFKA_"
_SERVER = re.compile(r"^(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]/@]+):(\d{1,5})$")
_MAX_PORT = 65535
_CREDENTIALS = ("username", "password")
_CLIENT_CREDENTIALS = ("oauth_token_url", "oauth_client_id", "oauth_client_secret", "oauth_scope")
_OAUTH = ("oauth_token_file", *_CLIENT_CREDENTIALS)
_IN_CLEAR = {"PLAIN": "password", "OAUTHBEARER": "token"}
_SECRETS = ("password", "ssl_key_password", "oauth_client_secret")
_TEXTS = ("username", "oauth_client_id", *_SECRETS)
# In clear only to this machine, where a sidecar may listen.
_TOKEN_URL = re.compile(
    r"(https://[^\s/@]+|http://(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?)(/[^\s@]*)?"
)


class KafkaSettings(BaseSettings):
    """The connection to Kafka, from `STREAMAPP_KAFKA_*` in the environment or from keywords.

    Secrets are `SecretStr`: no representation, log line or error shows them.

    Attributes:
        bootstrap_servers: address as `host:port`, several separated by commas.
        security_protocol: whether connections are encrypted and authenticated.
        sasl_mechanism: how the client authenticates; required by SASL protocols.
        username, password: the SASL credentials of PLAIN and SCRAM.
        password_file: file with the password, in place of it; read once, at the start.
        oauth_token_file: file with the token of OAUTHBEARER, read again for each connection.
        oauth_token_url: endpoint of an OpenID provider that gives tokens for client credentials, in
            place of such a file; `https://`.
        oauth_client_id, oauth_client_secret: the client credentials for that endpoint.
        oauth_client_secret_file: file with the client secret, in place of it.
        oauth_scope: scopes to ask that endpoint for, separated by spaces.
        ssl_cafile: PEM file of the authority that signed the broker's certificate; by default the
            system's authorities are trusted.
        ssl_certfile, ssl_keyfile, ssl_key_password: the client's certificate and key, for brokers
            that require one.
        ssl_key_password_file: file with the password of the key, in place of it.
        allow_plain_without_tls: allow PLAIN and OAUTHBEARER without TLS, which send the password or
            the token in clear.
        compression: codec of the batches that are written; batches of any codec are read.
        compress_in_thread: compress batches in a thread of their own, beside the event loop.
        connect_timeout_seconds: deadline for a client to start.
        stop_timeout_seconds: deadline for a client to stop; after it the client is closed by force.

    Raises:
        ConfigurationError: a value is wrong or values do not fit together.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    oauth_token_file: Path | None = None
    oauth_token_url: str | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: SecretStr | None = None
    oauth_client_secret_file: Path | None = None
    oauth_scope: str | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_key_password: SecretStr | None = None
    ssl_key_password_file: Path | None = None
    allow_plain_without_tls: bool = False
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    compress_in_thread: bool = False
    connect_timeout_seconds: float = Field(default=10.0, gt=0, le=600)
    stop_timeout_seconds: float = Field(default=5.0, gt=0, le=600)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            sentence = _sentence(error)
        else:
            return
        # Raised outside the handler: the chained pydantic error could show the value.
        raise ConfigurationError(sentence)

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers one by one."""
        return [server.strip() for server in self.bootstrap_servers.split(",")]

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether the client authenticates with SASL."""
        return self.security_protocol.startswith("SASL_")

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers_have_host_and_port(cls, value: str) -> str:
        for server in value.split(","):
            match = _SERVER.match(server.strip())
            if not match or not 0 < int(match[1]) <= _MAX_PORT:
                # The value is not shown: it may hold credentials.
                raise ValueError("must be host:port, several separated by commas")
        return value

    @field_validator("ssl_cafile", "ssl_certfile", "ssl_keyfile", "oauth_token_file")
    @classmethod
    def _file_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"names a file that does not exist: {value}")
        return value

    @field_validator("oauth_token_url")
    @classmethod
    def _tokens_are_fetched_with_tls(cls, value: str | None) -> str | None:
        if value is not None and not _TOKEN_URL.fullmatch(value):
            # The value is not shown: it may hold credentials.
            raise ValueError("must be an address with https://, without credentials in it")
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        found = dict(values)
        for name in _SECRETS:
            file = values.get(f"{name}_file")
            if file is None:
                continue
            if values.get(name) is not None:
                raise ValueError(
                    f"{_variable(name)} and {_variable(name)}{FILE_SUFFIX} are both set"
                )
            try:
                found[name] = read_secret(Path(file))
            except ValueError as error:
                raise ValueError(f"{_variable(name)}{FILE_SUFFIX} {error}") from None
        return found

    @model_validator(mode="after")
    def _texts_have_no_line_breaks(self) -> Self:
        for name in _TEXTS:
            value = getattr(self, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else value or ""
            if text.rstrip("\r\n") != text:
                advice = f", or use {_variable(name)}_FILE" if name in _SECRETS else ""
                raise ValueError(
                    f"{_variable(name)} ends with a line break, as `echo` and editors add one:"
                    f" set it without (`printf`, `echo -n`){advice}"
                )
        return self

    @model_validator(mode="after")
    def _there_is_something_to_compress(self) -> Self:
        if self.compression == "none" and self.compress_in_thread:
            self._refuse_setting("compress_in_thread", f"{_variable('compression')}=none")
        return self

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        protocol = f"{_variable('security_protocol')}={self.security_protocol}"
        mechanism = f"{_variable('sasl_mechanism')}={self.sasl_mechanism}"
        if not self.uses_sasl:
            self._refuse(("sasl_mechanism", *_CREDENTIALS, *_OAUTH), protocol)
            return self
        self._require(("sasl_mechanism",), protocol)
        if self.sasl_mechanism == "OAUTHBEARER":
            self._refuse(_CREDENTIALS, mechanism)
            self._tokens_have_one_source(mechanism)
        else:
            self._refuse(_OAUTH, mechanism)
            self._require(_CREDENTIALS, protocol)
        if self.sasl_mechanism in _IN_CLEAR and not (self.uses_tls or self.allow_plain_without_tls):
            raise ValueError(
                f"{mechanism} without TLS sends the {_IN_CLEAR[self.sasl_mechanism]} in clear: use "
                f"{_variable('security_protocol')}=SASL_SSL, or set "
                f"{_variable('allow_plain_without_tls')}=true"
            )
        return self

    def _tokens_have_one_source(self, mechanism: str) -> None:
        if self.oauth_token_file is not None:
            self._refuse(_CLIENT_CREDENTIALS, _variable("oauth_token_file"))
        elif self.oauth_token_url is None:
            raise ValueError(
                f"{mechanism} needs {_variable('oauth_token_file')} or"
                f" {_variable('oauth_token_url')}"
            )
        else:
            self._require(("oauth_client_id", "oauth_client_secret"), _variable("oauth_token_url"))

    def _require(self, names: tuple[str, ...], reason: str) -> None:
        for name in names:
            if getattr(self, name) is None:
                raise ValueError(f"{_variable(name)} is missing, and {reason} needs it")

    def _refuse(self, names: tuple[str, ...], reason: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                self._refuse_setting(name, reason)

    def _refuse_setting(self, name: str, reason: str) -> None:
        raise ValueError(f"{_variable(name)} is set, but {reason} does not use it")

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        given = {
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
            "ssl_key_password": self.ssl_key_password,
        }
        for name, value in given.items():
            if value is not None and not self.uses_tls:
                raise ValueError(
                    f"{_variable(name)} is set, but {_variable('security_protocol')}="
                    f"{self.security_protocol} does not use TLS"
                )
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError(f"{_variable('ssl_keyfile')} needs {_variable('ssl_certfile')}")
        return self


def _variable(field: str) -> str:
    return f"{_PREFIX}{field.upper()}"


def _sentence(error: ValidationError) -> str:
    """The first fault as one sentence with the name of the variable and without its value."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    text = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return text
    name = _variable(str(fault["loc"][0]))
    if fault["type"] == "extra_forbidden":
        return f"{name} is not a setting of Kafka connections"
    return f"{name} {text[0].lower()}{text[1:]}"
