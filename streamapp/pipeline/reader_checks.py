"""Checks a stage whose topics are read by another library."""

from collections.abc import Sequence

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import walk
from streamapp.pipeline.pipeline import StageDeclaration
from streamapp.pipeline.source import Declared
from streamapp.pipeline.stage import Ordering
from streamapp.topics.topic import Topic


def check_reader(where: str, declared: StageDeclaration, sources: Sequence[Declared]) -> None:
    """Refuse what a stage cannot do when another library reads its topics.

    Args:
        where: pipeline and stage, for errors.
        declared: the stage.
        sources: what the pipeline reads, if it is its first stage; else the topic before it.

    Raises:
        PipelineError: with the setting, and what to do.
    """
    agent = declared.stage.agent
    reader = agent.reader
    if reader is None:
        for part in walk(agent):
            if part.reader is not None:
                raise PipelineError(
                    f"{where}: the {part.reader.in_words} reads its own topics, so its agent"
                    f" {part.name!r} cannot be a part of another; make it a stage of its own"
                )
        return
    config = declared.stage.config
    if declared.fused:
        raise PipelineError(f"{where}: the {reader.in_words} reads its own topics; drop fused")
    if config.concurrency != 1 or config.ordering is not Ordering.PARTITION:
        raise PipelineError(
            f"{where}: the {reader.in_words} works on one record at a time, in the order of the"
            " partition; drop concurrency and ordering"
        )
    if config.policy.delays_seconds:
        raise PipelineError(
            f"{where}: the {reader.in_words} reads no retry topics; use retry() without delays"
        )
    if declared.renamed_from is not None:
        raise PipelineError(
            f"{where}: its group is that of the {reader.in_words}, whatever the stage is called;"
            " drop renamed_from"
        )
    names = {one.name if isinstance(one, Topic) else "a pattern" for one in sources}
    if names != reader.topics:
        raise PipelineError(
            f"{where}: the {reader.in_words} reads {', '.join(sorted(reader.topics))}, but the"
            f" stage reads {', '.join(sorted(names))}; give both the same topic"
        )
