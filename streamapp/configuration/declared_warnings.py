"""What to know of a declared pipeline that can be made."""

from collections.abc import Iterator
from types import NoneType
from typing import Any

from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_fits import check_neighbours
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.idle_settings import idle_settings
from streamapp.configuration.secrets import Path
from streamapp.configuration.warnings import PlacedWarning
from streamapp.pipeline.pipeline import Pipeline
from streamapp.registry.assemble import Assembled


def warnings_of(
    configuration: Configuration, name: str, made: Assembled
) -> Iterator[PlacedWarning]:
    """What is no fault, with its place.

    That is: outputs that go nowhere, settings without effect, and parts of compositions of which it
    is not known whether they fit.

    Args:
        configuration: where the pipeline is declared.
        name: its name.
        made: what was made of it.
    """
    declared = configuration.data_pipelines[name]
    where: Path = ("data_pipelines", name)
    yield from _open_end(made.pipeline, where)
    yield from idle_settings(declared, made.pipeline, where)
    yield from _smaller_pools(declared, made, where)
    yield from check_neighbours(made.registry, declared, made.choice, where).unknown


def _open_end(pipeline: Pipeline[Any, Any], where: Path) -> Iterator[PlacedWarning]:
    last = pipeline.declarations[-1]
    if last.output is not None or last.stage.agent.output_type is NoneType:
        return
    told = (
        f"the outputs of the last stage {last.stage.stage_id!r} go nowhere, so the pipeline can be"
        ' executed, and does not run on Kafka; give it a "sink", or this stage an "output"'
    )
    yield (*where, "stages", len(pipeline.declarations) - 1), told


def _smaller_pools(
    declared: DeclaredPipeline, made: Assembled, where: Path
) -> Iterator[PlacedWarning]:
    for place, (stage, members) in enumerate(zip(declared.stages, made.members, strict=True)):
        if stage.pool is not None and len(members) < stage.pool:
            told = (
                f"{stage.pool} agents are to share the work, and only {len(members)} can; add"
                " agents that take and give the same"
            )
            yield (*where, "stages", place, "pool"), told
