"""The small sections of the configuration file, and what each of their fields may be."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from streamapp.configuration.section import Section

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _variable_name(value: str) -> str:
    # The value is not shown: it may be the secret itself.
    if not _VARIABLE.fullmatch(value):
        raise ValueError("give the name of an environment variable, never the key itself")
    return value


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("give an address that begins with http:// or https://")
    if parts.username is not None or parts.password is not None or parts.query:
        raise ValueError(
            "give an address without user, password and query; name the variable of the key instead"
        )
    return value


class CliSettings(Section):
    """How commands print.

    Attributes:
        log_level: least level of the log lines of `agents` and `config`.
        output_format: what these print where there is no terminal.
        auto_save: whether commands that change agents save the file; otherwise only with `--save`.
    """

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    output_format: Literal["json", "table"] = "json"
    auto_save: bool = True


class DataMonitoring(Section):
    """What is measured, and for how long it is kept.

    Attributes:
        enabled: whether `/metrics` has something for pipelines that are run from the file.
        metrics_retention_days: days for which records of runs are kept.
        performance_alerts: whether `streamapp config alerts` prints alert rules.
    """

    enabled: bool = True
    metrics_retention_days: int = Field(default=7, ge=1, le=3650)
    performance_alerts: bool = True


class Limits(Section):
    """What one worker may ask of a provider.

    Attributes:
        calls_per_minute: most requests in any minute; none: any number.
        tokens_per_minute: most tokens in any minute; none: any number.
        max_wait_seconds: longest wait for these limits; none: that of the agent.
    """

    calls_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    max_wait_seconds: float | None = Field(default=None, ge=0)


class Provider(Section):
    """A service that agents ask, such as one that has language models.

    Attributes:
        kind: the protocol that it speaks, such as `openai`.
        base_url: address of the protocol; none: that of the agent.
        key_from_environment: environment variable with the key; none: it needs no key.
        limits: what one worker may ask of it.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    kind: str = Field(min_length=1)
    base_url: Annotated[str, AfterValidator(_address)] | None = None
    key_from_environment: Annotated[str, AfterValidator(_variable_name)] | None = None
    limits: Limits = Limits()

    def as_configuration(self) -> dict[str, JsonValue]:
        """The value of `provider` in the configuration of an agent."""
        found: dict[str, JsonValue] = {"kind": self.kind, **self.limits.model_dump()}
        found["base_url"] = self.base_url
        found = {name: value for name, value in found.items() if value is not None}
        return {**found, "key_from_environment": self.key_from_environment}
