"""Settings from the environment: the connection to Kafka."""

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamapp.errors import ConfigurationError

_PREFIX = "STREAMAPP_KAFKA_"
_SERVER = re.compile(r"^(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]/@]+):(\d{1,5})$")
_MAX_PORT = 65535


class KafkaSettings(BaseSettings):
    """The connection to Kafka, from `STREAMAPP_KAFKA_*` in the environment or from keywords.

    Secrets are `SecretStr`: no representation, log line or error shows them.

    Attributes:
        bootstrap_servers: address as `host:port`, several separated by commas.
        security_protocol: whether connections are encrypted and authenticated.
        sasl_mechanism: how the client authenticates; required by SASL protocols.
        username, password: the SASL credentials.
        ssl_cafile: PEM file of the authority that signed the broker's certificate; by default the
            system's authorities are trusted.
        ssl_certfile, ssl_keyfile, ssl_key_password: the client's certificate and key, for brokers
            that require one.
        allow_plain_without_tls: allow SASL PLAIN without TLS, which sends the password in clear.
        compression: codec of the batches that are written; batches of any codec are read.
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
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_key_password: SecretStr | None = None
    allow_plain_without_tls: bool = False
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
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

    @field_validator("ssl_cafile", "ssl_certfile", "ssl_keyfile")
    @classmethod
    def _file_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"names a file that does not exist: {value}")
        return value

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        needed = {
            "sasl_mechanism": self.sasl_mechanism,
            "username": self.username,
            "password": self.password,
        }
        for name, value in needed.items():
            if self.uses_sasl and value is None:
                raise ValueError(
                    f"{_variable(name)} is missing, and {_variable('security_protocol')}="
                    f"{self.security_protocol} needs it"
                )
            if not self.uses_sasl and value is not None:
                raise ValueError(
                    f"{_variable(name)} is set, but {_variable('security_protocol')}="
                    f"{self.security_protocol} does not use it"
                )
        if self.security_protocol == "SASL_PLAINTEXT" and self.sasl_mechanism == "PLAIN":
            self._refuse_clear_password()
        return self

    def _refuse_clear_password(self) -> None:
        if not self.allow_plain_without_tls:
            raise ValueError(
                f"{_variable('sasl_mechanism')}=PLAIN without TLS sends the password in clear: use "
                f"{_variable('security_protocol')}=SASL_SSL, or set "
                f"{_variable('allow_plain_without_tls')}=true"
            )

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
