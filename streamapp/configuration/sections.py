"""The sections of the configuration file, and what each of their fields may be."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from streamapp.registry.definition import AgentDefinition, Id

ALWAYS_ALLOWED = "streamapp.agents"
"""Package of the built-in agents, from which every file may import."""

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


class _Section(BaseModel):
    """Exactly its fields, of exactly their types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CliSettings(_Section):
    """How commands print.

    Attributes:
        log_level: least level of the log lines of `agents` and `config`.
        output_format: what these print where there is no terminal.
        auto_save: whether a change of agents or pipelines is saved; no command makes one yet.
    """

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    output_format: Literal["json", "table"] = "json"
    auto_save: bool = True


class DataMonitoring(_Section):
    """What is measured, and for how long it is kept.

    Attributes:
        enabled: whether metrics are exported; no command reads it yet.
        metrics_retention_days: days for which runs are kept; no command reads it yet.
        performance_alerts: whether alert rules are generated; no command reads it yet.
    """

    enabled: bool = True
    metrics_retention_days: int = Field(default=7, ge=1, le=3650)
    performance_alerts: bool = True


class Limits(_Section):
    """What one worker may ask of a provider.

    Attributes:
        calls_per_minute: most requests in any minute; none: any number.
        tokens_per_minute: most tokens in any minute; none: any number.
        max_wait_seconds: longest wait for these limits; none: that of the agent.
    """

    calls_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    max_wait_seconds: float | None = Field(default=None, ge=0)


class Provider(_Section):
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


class Configuration(_Section):
    """The whole file.

    Attributes:
        allowed_packages: packages from which agents are imported, beside the built-in ones.
        data_agents: definitions of agents by their ids.
        data_pipelines: pipelines by their names; kept, and not interpreted yet.
        data_providers: services that agents ask, by their names.
        cli_settings: how commands print.
        data_monitoring: what is measured.
    """

    allowed_packages: tuple[str, ...] = ()
    data_agents: Mapping[Id, AgentDefinition] = Field(default_factory=dict)
    data_pipelines: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    data_providers: Mapping[str, Provider] = Field(default_factory=dict)
    cli_settings: CliSettings = CliSettings()
    data_monitoring: DataMonitoring = DataMonitoring()
