"""Checks of the names of a pipeline's stages."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from streamapp.errors import PipelineError
from streamapp.pipeline.pipeline import Pipeline
from streamapp.topics.topic import check_topic_name


def check_names(pipeline: Pipeline[Any, Any]) -> None:
    """Require legal names that differ.

    Raises:
        PipelineError: two stages have the same name, or a former name has no effect or is taken; or
            the first stage is fused, with none before it.
        TopicError: a name is not legal in a topic.
    """
    check_topic_name(pipeline.name)
    counts = Counter(stage.stage_id for stage in pipeline.stages)
    for stage_id, count in counts.items():
        check_topic_name(stage_id)
        if count > 1:
            raise PipelineError(
                f"pipeline {pipeline.name!r}: {count} stages are called {stage_id!r};"
                " give each a name=… of its own"
            )
    _check_old_names(pipeline, counts)
    first = pipeline.declarations[0]
    if first.fused:
        raise PipelineError(
            f"pipeline {pipeline.name!r}: the first stage {first.stage.stage_id!r}"
            " cannot be fused: there is no stage before it"
        )


def _check_old_names(pipeline: Pipeline[Any, Any], names: Collection[str]) -> None:
    """Require each `renamed_from` to be unique."""
    taken = set(names)
    for declared in pipeline.declarations:
        old = declared.renamed_from
        if old is None:
            continue
        where = (
            f"pipeline {pipeline.name!r}, stage {declared.stage.stage_id!r}: renamed_from {old!r}"
        )
        check_topic_name(old)
        if old in taken:
            raise PipelineError(
                f"{where} is the name of a stage, or is given to another stage as well"
            )
        taken.add(old)
