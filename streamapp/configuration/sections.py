"""The sections of the configuration file, and what each of their fields may be."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from streamapp.pipeline.capability import Capability
from streamapp.pipeline.stage import StageConfig
from streamapp.registry.assemble import RETRIES
from streamapp.registry.definition import AgentDefinition, Id

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
        auto_save: whether commands that change agents save the file; otherwise only with `--save`.
    """

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    output_format: Literal["json", "table"] = "json"
    auto_save: bool = True


class DataMonitoring(_Section):
    """What is measured, and for how long it is kept.

    Attributes:
        enabled: whether `/metrics` has something for pipelines that are run from the file.
        metrics_retention_days: days for which records of runs are kept.
        performance_alerts: whether `streamapp config alerts` prints alert rules.
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


class DeclaredStage(_Section):
    """A stage of a declared pipeline.

    Attributes:
        agent: id of the agent; none: the best one for the capability that fits beside the others.
        capability: what it is wanted for; none: the only capability of the agent.
        name: name of the stage; none: that of the capability.
        configuration: values of the agent's configuration, above those of its definition.
        error_policy: what happens to a record that failed.
        retry_count: number of retries, if that is `retry`.
        timeout_seconds: deadline of one attempt.
        concurrency: largest number of attempts that run at once.
    """

    agent: str | None = None
    capability: Annotated[Capability | None, Field(strict=False)] = None
    name: str | None = Field(default=None, min_length=1)
    configuration: Mapping[str, JsonValue] = Field(default_factory=dict)
    error_policy: Literal["stop", "skip", "retry", "dead_letter", "drop"] = "retry"
    retry_count: int = Field(default=RETRIES, ge=0)
    timeout_seconds: float = Field(default=StageConfig().timeout_seconds, gt=0)
    concurrency: int = Field(default=StageConfig().concurrency, ge=1)

    @model_validator(mode="after")
    def _says_which_agent(self) -> Self:
        if self.agent is None and self.capability is None:
            raise ValueError("give an agent or a capability")
        if self.agent is None and self.configuration:
            raise ValueError("give the agent that the configuration is for")
        return self


class DeclaredPipeline(_Section):
    """A pipeline that is assembled of agents.

    Attributes:
        source: topic that it reads.
        sink: topic that it writes; none: the last stage has a topic of its own name.
        stages: at least one that names its agent, or two.
        exclude: ids of agents that may not be chosen.
        refuse_excess: whether it is refused if its agents need more than the machine has, which is
            a warning otherwise.
    """

    source: str = Field(min_length=1)
    sink: str | None = Field(default=None, min_length=1)
    stages: list[DeclaredStage] = Field(min_length=1)
    exclude: list[str] = Field(default_factory=list)
    refuse_excess: bool = False

    @model_validator(mode="after")
    def _has_a_sequence_to_search(self) -> Self:
        if len(self.stages) == 1 and self.stages[0].agent is None:
            raise ValueError(
                "give the agent of the only stage; agents are chosen for a sequence of at least two"
                " capabilities"
            )
        return self


class Configuration(_Section):
    """The whole file, and what it may import.

    Attributes:
        data_agents: definitions of agents by their ids.
        data_pipelines: pipelines by their names.
        data_providers: services that agents ask, by their names.
        cli_settings: how commands print.
        data_monitoring: what is measured.
    """

    data_agents: Mapping[Id, AgentDefinition] = Field(default_factory=dict)
    data_pipelines: Mapping[str, DeclaredPipeline] = Field(default_factory=dict)
    data_providers: Mapping[str, Provider] = Field(default_factory=dict)
    cli_settings: CliSettings = CliSettings()
    data_monitoring: DataMonitoring = DataMonitoring()
    _allowed_packages: tuple[str, ...] = ()

    @property
    def allowed_packages(self) -> tuple[str, ...]:
        """Packages that agents may come from, beside the built-in ones; no part of the file."""
        return self._allowed_packages

    def allowing(self, packages: Iterable[str]) -> Self:
        """The same, whose agents may come from these packages."""
        changed = self.model_copy()
        changed._allowed_packages = tuple(packages)  # noqa: SLF001 - a copy of this object
        return changed
