"""Checks the data of a configuration file, section by section, and collects every fault."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from streamapp.configuration.allowed_packages import (
    NOT_IN_A_FILE,
    allowed_packages,
    importer_of,
)
from streamapp.configuration.composition import NamedAgent, walk_composition
from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_agents import SHIPPED, installed
from streamapp.configuration.declared_bundles import misnamed
from streamapp.configuration.declared_pipeline import MOST_STAGES, DeclaredPipeline
from streamapp.configuration.declared_stage import DeclaredStage
from streamapp.configuration.named_providers import NamedProviders
from streamapp.configuration.named_schemas import conflicts
from streamapp.configuration.names import PACKAGES_OPTION, PACKAGES_VARIABLE
from streamapp.configuration.overrides import overridden
from streamapp.configuration.placed import shown
from streamapp.configuration.secrets import Path, secrets_in
from streamapp.configuration.sections import CliSettings, DataMonitoring, Provider
from streamapp.errors import RegistryError
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.faults import path_of, placed_faults
from streamapp.registry.field_names import is_tag
from streamapp.registry.nearest import did_you_mean

Fault = tuple[Path, str]
"""The path of a value, and a sentence that begins with it."""

MOST_FAULTS = 50
"""No more are looked for: each of a million wrong keys would need its own search for a near one."""

_Model = TypeVar("_Model", bound=BaseModel)


def is_kept(name: str) -> bool:
    """Whether a key of the file is kept and not interpreted."""
    return name == "$schema" or name.startswith("x-")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in data.

    Attributes:
        right: the configuration without the agents, pipelines and providers that have a fault;
            `None` if there are so many faults that not all of it was looked at.
        faults: the faults of the data.
        of_environment: those of the environment, one sentence each.
    """

    right: Configuration | None
    faults: list[Fault]
    of_environment: list[str]


def check(data: Any, environment: Mapping[str, str]) -> Checked:
    """Check data.

    Args:
        data: the file's content as plain values.
        environment: variables that override settings.
    """
    checker = _Checker(environment)
    right = None
    with suppress(_EnoughError):
        right = checker.configuration(data)
    return Checked(right, checker.faults, checker.of_environment)


class _EnoughError(Exception):
    """So many faults were found that no more are looked for."""


def _parts(fields: Any) -> tuple[list[DeclaredStage | None], list[str]]:
    """Stages of a pipeline that has a fault, `None` for each with one, and what it excludes."""
    fields = fields if isinstance(fields, dict) else {}
    stages, exclude = fields.get("stages"), fields.get("exclude")
    found: list[DeclaredStage | None] = []
    for stage in stages[:MOST_STAGES] if isinstance(stages, list) else ():
        try:
            found.append(DeclaredStage.model_validate_json(to_json(stage)))
        except ValidationError:
            found.append(None)
    listed = exclude if isinstance(exclude, list) else []
    return found, [one for one in listed if isinstance(one, str)]


class _Checker:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self.faults: list[Fault] = []
        self.of_environment: list[str] = []
        self._environment = environment
        self._depend_on_wrong: set[Path] = set()

    def configuration(self, data: Any) -> Configuration:
        if not isinstance(data, dict):
            self._found((), "give an object, {...}, of sections")
            data = {}
        self._refuse_unknown(data)
        known = self._mapping(data, "data_providers")
        providers: dict[str, Provider | None] = {**dict.fromkeys(known), **self._providers(known)}
        named = NamedProviders(providers, self._add, self._depend_on_wrong)
        agents = self._mapping(data, "data_agents")
        pipelines = self._mapping(data, "data_pipelines")
        configuration = Configuration.model_construct(
            data_agents=dict(self._agents(agents, named)),
            data_pipelines=dict(self._pipelines(pipelines, agents, named)),
            data_providers={name: one for name, one in providers.items() if one is not None},
            cli_settings=self._settings("cli_settings", CliSettings, data),
            data_monitoring=self._settings("data_monitoring", DataMonitoring, data),
        )
        self._schemas(configuration)
        for path, told in misnamed(configuration.data_pipelines):
            self._add(path, told)
        return self._right(configuration).allowing(self._packages())

    def _right(self, configuration: Configuration) -> Configuration:
        """The configuration without what has a fault."""
        wrong = {path[:2] for path, _ in self.faults} | self._depend_on_wrong
        kept = {
            section: {
                name: one
                for name, one in getattr(configuration, section).items()
                if (section, name) not in wrong
            }
            for section in ("data_agents", "data_pipelines", "data_providers")
        }
        return configuration.model_copy(update=kept) if wrong else configuration

    def _schemas(self, configuration: Configuration) -> None:
        for path, first, name in conflicts(configuration):
            self._add(
                path,
                f"the title {name!r} is that of another schema, at {shown(first)}; give one of"
                " them another title, or name the schema here",
            )

    def _refuse_unknown(self, data: Mapping[str, Any]) -> None:
        known = Configuration.model_fields
        for name in data:
            if name == "allowed_packages":
                self._add((name,), NOT_IN_A_FILE)
            elif name not in known and not is_kept(name):
                told = f"there is no such section; {did_you_mean(name, known)}"
                self._add((name,), told)

    def _providers(self, section: Mapping[str, Any]) -> dict[str, Provider]:
        found = {
            name: self._model(("data_providers", name), Provider, fields)
            for name, fields in section.items()
        }
        return {name: one for name, one in found.items() if one is not None}

    def _packages(self) -> tuple[str, ...]:
        packages = allowed_packages(self._environment)
        try:
            importer_of(packages)
        except RegistryError as error:
            self.of_environment.append(f"{PACKAGES_OPTION} or {PACKAGES_VARIABLE}: {error}")
        return packages

    def _agents(
        self, section: Mapping[str, Any], providers: NamedProviders
    ) -> Iterator[tuple[str, AgentDefinition]]:
        for agent_id, fields in section.items():
            where: Path = ("data_agents", agent_id)
            if not self._require_object(where, fields):
                continue
            given = {**fields, "agent_id": fields.get("agent_id", agent_id)}
            if given["agent_id"] != agent_id:
                self._add((*where, "agent_id"), f"leave it out, or repeat {agent_id!r}")
            given["configuration"] = self._configured(where, fields, providers)
            found = self._model(where, AgentDefinition, given)
            if found is not None:
                yield agent_id, found

    def _configured(
        self, where: Path, fields: Mapping[str, Any], providers: NamedProviders
    ) -> Mapping[str, Any]:
        """The configuration of an agent, with the provider that it names."""
        where = (*where, "configuration")
        values = fields.get("configuration", {})
        if not self._require_object(where, values):
            return {}
        self._refuse_secrets(where, values)
        return providers.put_into(where, values)

    def _pipelines(
        self, section: Mapping[str, Any], agents: Mapping[str, Any], providers: NamedProviders
    ) -> Iterator[tuple[str, DeclaredPipeline]]:
        known = {*agents, *SHIPPED, *installed()}
        for name, given in section.items():
            where: Path = ("data_pipelines", name)
            fields = providers.put_into_stages(where, given)
            found = self._model(where, DeclaredPipeline, fields)
            stages, exclude = _parts(fields) if found is None else (found.stages, found.exclude)
            for number, stage in enumerate(stages):
                if stage is not None:
                    self._stage((*where, "stages", number), stage, known)
            for number, agent_id in enumerate(exclude):
                self._require_agent((*where, "exclude", number), agent_id, known)
            self._refuse_excluded(where, stages, exclude)
            if found is not None:
                yield name, found

    def _refuse_excluded(
        self, where: Path, stages: Iterable[DeclaredStage | None], exclude: Sequence[str]
    ) -> None:
        """Refuse to exclude agents that the pipeline names."""
        named = {
            one.agent: number
            for number, stage in enumerate(stages)
            if stage is not None and stage.agent is not None
            for _, one in walk_composition(stage.agent)
            if isinstance(one, NamedAgent)
        }
        for place, agent_id in enumerate(exclude):
            if agent_id in named:
                stage_at = shown((*where, "stages", named[agent_id]))
                told = f"{stage_at} names {agent_id!r}, which is excluded here; drop one of the two"
                self._add((*where, "exclude", place), told)

    def _stage(self, where: Path, stage: DeclaredStage, known: Iterable[str]) -> None:
        self._refuse_secrets((*where, "configuration"), stage.configuration)
        if isinstance(stage.agent, str):
            self._require_agent((*where, "agent"), stage.agent, known)
        elif stage.agent is not None:
            for at, one in walk_composition(stage.agent, (*where, "agent")):
                if isinstance(one, NamedAgent):
                    self._require_agent(at, one.agent, known)
                    self._refuse_secrets((*at, "configuration"), one.configuration)

    def _require_agent(self, where: Path, agent_id: str, known: Iterable[str]) -> None:
        if agent_id not in known:
            self._add(where, f"there is no agent {agent_id!r}; {did_you_mean(agent_id, known)}")

    def _refuse_secrets(self, where: Path, values: Mapping[str, Any]) -> None:
        for path in secrets_in(dict(values)):
            told = "a file holds no secrets; name an environment variable, as the agent says"
            self._add((*where, *path), told)

    def _settings(self, section: str, model: type[_Model], data: Mapping[str, Any]) -> _Model:
        where: Path = (section,)
        fields = self._mapping(data, section)
        above = overridden(section, self._environment, self.of_environment)
        found = self._model(where, model, fields)
        return model() if found is None else found.model_copy(update=dict(above))

    def _mapping(self, data: Mapping[str, Any], section: str) -> dict[str, Any]:
        found = data.get(section, {})
        return found if self._require_object((section,), found) else {}

    def _require_object(self, where: Path, value: Any) -> bool:
        if isinstance(value, dict):
            return True
        self._add(where, "give an object, {...}")
        return False

    def _model(self, where: Path, model: type[_Model], fields: Any) -> _Model | None:
        try:
            # By way of JSON, in which an enum is its text, and a tuple a list, strictly.
            return model.model_validate_json(to_json(fields))
        except ValidationError as error:
            for place, told in placed_faults(error, model):
                path = (*where, *(one for one in place if not is_tag(one)))
                self._found(path, f"{path_of(shown(where), place)}: {told}")
        return None

    def _add(self, where: Path, told: str) -> None:
        self._found(where, f"{shown(where)}: {told}")

    def _found(self, where: Path, sentence: str) -> None:
        self.faults.append((where, sentence))
        if len(self.faults) == MOST_FAULTS:
            raise _EnoughError
