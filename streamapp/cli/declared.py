"""Targets in a configuration file, as `file.json#name`.

Commands import this when they are given one: pipelines in modules need nothing of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamapp.cli.import_path import put_current_directory_first
from streamapp.cli.warn import warn
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_bundles import named
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import ConfigurationFile, read_configuration
from streamapp.configuration.remembered_scores import remembered_scores
from streamapp.configuration.sections import DataMonitoring
from streamapp.configuration.state_folder import state_folder
from streamapp.configuration.told_places import telling_places
from streamapp.configuration.watched_registry import WatchedRegistry
from streamapp.pipeline.bundle import Bundle
from streamapp.pipeline.pipeline import Pipeline
from streamapp.reassembly.config import Reassembly
from streamapp.registry.assemble import Assembled
from streamapp.registry.choices import Choices
from streamapp.registry.score_file import ScoreFile
from streamapp.registry.scores import Scores
from streamapp.topics.declaration import DeclaredTopic

_MOST_NAMES = 10
"""So many pipelines of a file are named where one is to be chosen."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a name in a file stands for.

    Attributes:
        made: its pipelines.
        bundle: its name, if it is a bundle.
        reassembly: how the agents are measured and replaced.
    """

    made: tuple[Assembled, ...]
    bundle: str | None
    reassembly: Reassembly


def target_of(path: Path, name: str, packages: Iterable[str]) -> Pipeline[Any, Any] | Bundle:
    """The pipeline or bundle of this name, assembled by what earlier runs remember."""
    file = _read(path, packages)
    choices = Choices(registry_of(file.configuration), remembered_scores(file.path))
    made, bundle = _made(file, name, choices)
    pipelines = [one.pipeline for one in made]
    return pipelines[0] if bundle is None else Bundle(bundle, pipelines)


def declared_of(
    path: Path, name: str, packages: Iterable[str], open_seconds: float | None
) -> Declared:
    """The pipeline or bundle of this name, to be run."""
    packages = tuple(packages)
    file = _read(path, packages)
    registry, scores = registry_of(file.configuration), Scores()
    score_file = ScoreFile(state_folder(file.path))
    score_file.load(scores)
    made, bundle = _made(file, name, Choices(registry, scores))
    reassembly = Reassembly(
        open_seconds=open_seconds,
        score_file=score_file,
        refresh=WatchedRegistry(file, registry, packages=packages).refresh,
    )
    return Declared(made, bundle, reassembly)


def names_in(path: Path) -> str:
    """What to write for a pipeline or a bundle of a file, as the end of a sentence.

    Raises:
        ConfigurationError: the file cannot be read, or is wrong.
    """
    pipelines = read_configuration(path).configuration.data_pipelines
    bundles = (one.bundle for one in pipelines.values() if one.bundle is not None)
    found = [f"{path}#{name}" for name in sorted({*pipelines, *bundles})]
    if not found:
        return f"give FILE.json#NAME; {path} declares no pipelines, add some under data_pipelines"
    if len(found) == 1:
        return f"give FILE.json#NAME, here {found[0]}"
    shown = [*found[:_MOST_NAMES], *(["..."] if len(found) > _MOST_NAMES else [])]
    return f"give FILE.json#NAME, one of {', '.join(shown)}"


def declared_monitoring(path: Path, packages: Iterable[str]) -> DataMonitoring:
    """What a file says of measuring."""
    return read_configuration(path, packages=packages).configuration.data_monitoring


def declared_topics(path: Path, name: str) -> tuple[DeclaredTopic, ...]:
    """The topics that the pipelines of this name declare."""
    pipelines = read_configuration(path).configuration.data_pipelines
    members, _ = named(pipelines, name)
    return tuple(topic for member in members for topic in pipelines[member].topics)


def _made(
    file: ConfigurationFile, name: str, choices: Choices
) -> tuple[tuple[Assembled, ...], str | None]:
    members, bundle = named(file.configuration.data_pipelines, name)
    with telling_places(file):
        made = tuple(assemble_declared(file.configuration, one, choices) for one in members)
    warn([warning for one in made for warning in one.warnings])
    return made, bundle


def _read(path: Path, packages: Iterable[str]) -> ConfigurationFile:
    file = read_configuration(path, packages=packages)
    if file.configuration.allowed_packages:
        put_current_directory_first()
    return file
