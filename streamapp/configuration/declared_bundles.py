"""Bundles of pipelines that the file declares: those that name the same one."""

from collections.abc import Iterator, Mapping

from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.secrets import Path
from streamapp.errors import ConfigurationError
from streamapp.registry.nearest import did_you_mean


def named(
    pipelines: Mapping[str, DeclaredPipeline], name: str
) -> tuple[tuple[str, ...], str | None]:
    """The pipelines that a name stands for, in the order of the file; and the bundle, if it is one.

    Raises:
        ConfigurationError: there is neither a pipeline nor a bundle of this name.
    """
    if name in pipelines:
        return (name,), None
    members = tuple(key for key, one in pipelines.items() if one.bundle == name)
    if not members:
        known = {*pipelines, *(one.bundle for one in pipelines.values() if one.bundle is not None)}
        near = did_you_mean(name, known)
        raise ConfigurationError(f"there is no pipeline {name!r} in data_pipelines; {near}")
    return members, name


def misnamed(pipelines: Mapping[str, DeclaredPipeline]) -> Iterator[tuple[Path, str]]:
    """Bundles that have the name of a pipeline, so that it would not be clear which is run."""
    for name, one in pipelines.items():
        if one.bundle in pipelines:
            yield (
                ("data_pipelines", name, "bundle"),
                f"{one.bundle!r} is the name of a pipeline; give the bundle another name",
            )
