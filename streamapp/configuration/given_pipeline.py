"""Declarations of pipelines that somebody gives: as JSON, or as a sequence of capabilities."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamapp.configuration.changes import PIPELINES
from streamapp.configuration.file import parsed
from streamapp.configuration.given_entries import GivenEntries, Origin, Place
from streamapp.errors import ConfigurationError
from streamapp.registry.registry import capability

_WITHIN = "declaration"
"""Where the declaration stands in what `pipelines assemble` prints."""


def read_given_pipeline(name: str, path: Path, content: bytes) -> GivenEntries:
    """Read the declaration of one pipeline, or what `pipelines assemble` has printed of it.

    Args:
        name: name of the pipeline.
        path: name of the file, for messages.
        content: its bytes.

    Raises:
        ConfigurationError: it is no JSON.
    """
    document = parsed(path, content)
    place: Place = ()
    data = document.data
    if isinstance(data, dict) and _WITHIN in data:
        place, data = (_WITHIN,), data[_WITHIN]
    return GivenEntries(PIPELINES, {name: data}, Origin(path, document, {name: place}))


def declaration_of(
    capabilities: Sequence[str],
    *,
    source: str,
    sink: str | None = None,
    pins: Mapping[int, str],
    pools: Mapping[int, int],
    exclude: Iterable[str] = (),
) -> dict[str, Any]:
    """The declaration of a pipeline that has a stage for each capability.

    Args:
        capabilities: at least two.
        source: topic that it reads.
        sink: topic that it writes, if any.
        pins: ids of agents that have to be chosen, by the number of their stage, from 1.
        pools: how many agents share the work of a stage, by its number.
        exclude: ids of agents that may not be chosen.

    Raises:
        ConfigurationError: there is no such capability, or there are less than two; a number is
            that of no stage; or a stage has both a pinned agent and a pool.
    """
    excluded = list(exclude)
    _check_steps(len(capabilities), pins, pools, excluded)
    stages: list[dict[str, Any]] = []
    for number, wanted in enumerate(capabilities, 1):
        stage: dict[str, Any] = {"agent": pins[number]} if number in pins else {}
        stage["capability"] = str(capability(wanted))
        if number in pools:
            stage["pool"] = pools[number]
        stages.append(stage)
    found: dict[str, Any] = {"source": source, "stages": stages}
    if sink is not None:
        found["sink"] = sink
    if excluded:
        found["exclude"] = excluded
    return found


def _check_steps(
    count: int, pins: Mapping[int, str], pools: Mapping[int, int], excluded: Collection[str]
) -> None:
    steps = range(1, count + 1)
    if count == 1:
        raise ConfigurationError("give at least two capabilities, or name an agent in the file")
    if wrong := sorted(pins.keys() - set(steps)):
        raise ConfigurationError(
            f"there is no step {wrong[0]} to pin an agent to; they are 1 to {len(steps)}"
        )
    if wrong := sorted(pools.keys() - set(steps)):
        raise ConfigurationError(
            f"there is no step {wrong[0]} to have a pool; they are 1 to {len(steps)}"
        )
    if both := sorted(pins.keys() & pools.keys()):
        raise ConfigurationError(
            f"step {both[0]} has a pinned agent, and a pool is of several; give one of the two"
        )
    for number, agent_id in sorted(pins.items()):
        if agent_id in excluded:
            raise ConfigurationError(
                f"{agent_id!r} is pinned to step {number} and excluded; drop one of the two"
            )
