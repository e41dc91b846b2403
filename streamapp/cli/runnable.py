"""Loads what `streamapp run` runs: of a configuration file with the scores of its agents."""

import os
from collections.abc import Iterable

from streamapp.cli.excess import warn_of_excess
from streamapp.cli.import_path import put_current_directory_first
from streamapp.cli.loading import declared_target, load_topologies
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import read_configuration
from streamapp.configuration.state_folder import state_folder
from streamapp.configuration.watched_registry import WatchedRegistry
from streamapp.errors import ConfigurationError
from streamapp.pipeline.topology import Topology
from streamapp.reassembly.config import Reassembly
from streamapp.registry.assemble import Assembled
from streamapp.registry.choices import Choices
from streamapp.registry.score_file import ScoreFile
from streamapp.registry.scores import Scores

AFTER_VARIABLE = "STREAMAPP_REASSEMBLE_AFTER_SECONDS"
"""Environment variable: how long a breaker may not be closed until its agent is replaced."""

NEVER = "never"
"""Value of the variable with which no agent is replaced for its breaker."""


def load_runnable(
    target: str, packages: Iterable[str] = ()
) -> tuple[tuple[Topology | Assembled, ...], Reassembly | None]:
    """Load a target to be run.

    Args:
        target: `module:attribute`, or `file.json#name`, whose agents are measured and replaced.
        packages: packages that a configuration file may import from.

    Returns:
        What a service runs, and how its agents are measured and replaced.

    Raises:
        ConfigurationError: what is missing or wrong, and where.
    """
    declared = declared_target(target)
    if declared is None:
        return load_topologies(target, packages), None
    path, name = declared
    packages = tuple(packages)
    file = read_configuration(path, packages=packages)
    if file.configuration.allowed_packages:
        put_current_directory_first()
    registry, scores = registry_of(file.configuration), Scores()
    score_file = ScoreFile(state_folder(file.path))
    score_file.load(scores)
    made = assemble_declared(file.configuration, name, Choices(registry, scores))
    warn_of_excess(made.warnings)
    return (made,), Reassembly(
        open_seconds=_open_seconds(),
        score_file=score_file,
        refresh=WatchedRegistry(file, registry, packages=packages).refresh,
    )


def _open_seconds() -> float | None:
    given = os.environ.get(AFTER_VARIABLE, "").strip()
    if given.lower() == NEVER:
        return None
    try:
        seconds = float(given) if given else Reassembly().open_seconds
    except ValueError:
        seconds = 0.0
    if seconds is None or not 0 < seconds < float("inf"):
        raise ConfigurationError(
            f"{AFTER_VARIABLE} is {given!r}; give a number of seconds above 0, or {NEVER}"
        )
    return seconds
