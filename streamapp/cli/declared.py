"""Targets in a configuration file, as `file.json#name`.

Commands import this when they are given one: pipelines in modules need nothing of it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streamapp.cli.excess import warn_of_excess
from streamapp.cli.import_path import put_current_directory_first
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import ConfigurationFile, read_configuration
from streamapp.configuration.remembered_scores import remembered_scores
from streamapp.configuration.sections import DataMonitoring
from streamapp.configuration.state_folder import state_folder
from streamapp.configuration.watched_registry import WatchedRegistry
from streamapp.pipeline.pipeline import Pipeline
from streamapp.reassembly.config import Reassembly
from streamapp.registry.assemble import Assembled
from streamapp.registry.choices import Choices
from streamapp.registry.score_file import ScoreFile
from streamapp.registry.scores import Scores
from streamapp.topics.declaration import DeclaredTopic


def pipeline_of(path: Path, name: str, packages: Iterable[str]) -> Pipeline[Any, Any]:
    """The pipeline of this name, assembled by what earlier runs remember."""
    file = _read(path, packages)
    choices = Choices(registry_of(file.configuration), remembered_scores(file.path))
    made = assemble_declared(file.configuration, name, choices)
    warn_of_excess(made.warnings)
    return made.pipeline


def runnable_of(
    path: Path, name: str, packages: Iterable[str], open_seconds: float | None
) -> tuple[Assembled, Reassembly]:
    """The pipeline of this name, and how its agents are measured and replaced."""
    packages = tuple(packages)
    file = _read(path, packages)
    registry, scores = registry_of(file.configuration), Scores()
    score_file = ScoreFile(state_folder(file.path))
    score_file.load(scores)
    made = assemble_declared(file.configuration, name, Choices(registry, scores))
    warn_of_excess(made.warnings)
    return made, Reassembly(
        open_seconds=open_seconds,
        score_file=score_file,
        refresh=WatchedRegistry(file, registry, packages=packages).refresh,
    )


def declared_monitoring(path: Path, packages: Iterable[str]) -> DataMonitoring:
    """What a file says of measuring."""
    return read_configuration(path, packages=packages).configuration.data_monitoring


def declared_topics(path: Path, name: str) -> tuple[DeclaredTopic, ...]:
    """The topics that the pipeline of this name declares; none if there is no such pipeline."""
    found = read_configuration(path).configuration.data_pipelines.get(name)
    return tuple(found.topics) if found is not None else ()


def _read(path: Path, packages: Iterable[str]) -> ConfigurationFile:
    file = read_configuration(path, packages=packages)
    if file.configuration.allowed_packages:
        put_current_directory_first()
    return file
