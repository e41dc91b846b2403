"""Loads what `streamapp run` runs: of a configuration file with the scores of its agents."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from streamapp.cli.loading import declared_target, load_topologies
from streamapp.cli.variables import AFTER_VARIABLE
from streamapp.errors import ConfigurationError
from streamapp.pipeline.topology import Topology
from streamapp.reassembly.config import Reassembly
from streamapp.registry.assemble import Assembled

NEVER = "never"
"""Value of the variable with which no agent is replaced for its breaker."""


@dataclass(frozen=True, slots=True)
class Runnable:
    """What a service runs.

    Attributes:
        topologies: the pipelines.
        reassembly: how their agents are measured and replaced, if they come from a file.
        bundle: name of the bundle that they still have to become.
    """

    topologies: tuple[Topology | Assembled, ...]
    reassembly: Reassembly | None = None
    bundle: str | None = None


def load_runnable(target: str, packages: Iterable[str] = ()) -> Runnable:
    """Load a target to be run.

    Args:
        target: `module:attribute`, or `file.json#name`, whose agents are measured and replaced.
        packages: packages that a configuration file may import from.

    Raises:
        ConfigurationError: what is missing or wrong, and where.
    """
    declared = declared_target(target)
    if declared is None:
        return Runnable(load_topologies(target, packages))
    from streamapp.cli.declared import declared_of  # only files need it

    found = declared_of(*declared, packages, _open_seconds())
    return Runnable(found.made, found.reassembly, found.bundle)


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
