"""The configuration file as a whole."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.section import Section
from streamapp.configuration.sections import CliSettings, DataMonitoring, Provider
from streamapp.registry.definition import AgentDefinition, Id


class Configuration(Section):
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
    _folder: Path | None = None

    @property
    def allowed_packages(self) -> tuple[str, ...]:
        """Packages that agents may come from, beside the built-in ones; no part of the file."""
        return self._allowed_packages

    def allowing(self, packages: Iterable[str]) -> Self:
        """The same, whose agents may come from these packages."""
        changed = self.model_copy()
        changed._allowed_packages = tuple(packages)  # noqa: SLF001 - a copy of this object
        return changed

    @property
    def folder(self) -> Path | None:
        """The folder of the file, in which relative paths begin; `None`: the working directory."""
        return self._folder

    def within(self, folder: Path | None) -> Self:
        """The same, whose relative paths begin in a folder."""
        changed = self.model_copy()
        changed._folder = folder  # noqa: SLF001 - a copy of this object
        return changed
