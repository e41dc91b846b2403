"""Finds the pipelines of a file that read what others of it write."""

from collections.abc import Collection, Iterator, Mapping

from streamapp.configuration.check import Fault
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.declared_topics import PatternEnd, TopicEnd
from streamapp.configuration.placed import shown
from streamapp.pipeline.dead_letter_topics import dead_letters_of


def still_read(
    pipelines: Mapping[str, DeclaredPipeline], removed: Collection[str]
) -> Iterator[Fault]:
    """Where a pipeline that stays reads a topic that only removed ones write.

    Args:
        pipelines: all pipelines of the file, by name.
        removed: names of those that are to be removed.
    """
    owners = {topic: name for name in removed for topic in _written(name, pipelines[name])}
    for name in pipelines.keys() - set(removed):
        for topic in _written(name, pipelines[name]):
            owners.pop(topic, None)
    for name, one in pipelines.items():
        if name in removed:
            continue
        for place, topic in _read(one):
            if topic in owners:
                where = ("data_pipelines", name, *place)
                told = f"it reads {topic!r}, which only {owners[topic]!r} writes"
                yield where, f"{shown(where)}: {told}; remove it too, or give --yes"


def _read(pipeline: DeclaredPipeline) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Topics that are read by their names, with where they stand."""
    is_list = isinstance(pipeline.source, list)
    several = pipeline.source if isinstance(pipeline.source, list) else [pipeline.source]
    for i, one in enumerate(several):
        place: tuple[int | str, ...] = ("source", i) if is_list else ("source",)
        if isinstance(one, TopicEnd):
            yield (*place, "topic"), one.topic
        elif not isinstance(one, PatternEnd):
            yield place, one


def _written(name: str, pipeline: DeclaredPipeline) -> Iterator[str]:
    """Topics that a pipeline writes, as far as its declaration says it."""
    if pipeline.writes:
        yield pipeline.writes
    for stage in pipeline.stages:
        yield from (one for one in (stage.output, stage.dead_letters) if one is not None)
        yield from stage.routes.values()
        stage_name = stage.name or stage.capability
        if stage_name is not None:
            yield f"{name}.{stage_name}"
            yield dead_letters_of(f"{name}.{stage_name}")
