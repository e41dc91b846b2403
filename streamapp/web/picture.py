"""Where a stage stands in its pipeline, as HTML: what it reads and writes, and the parts it has.

It shows what `streamapp plan` prints, without settings and promises.
"""

from collections.abc import Iterator, Sequence
from html import escape

from streamapp.pipeline.outline import AgentOutline, Outline, SegmentOutline, StageOutline
from streamapp.policies.delays import delay_name


def pictures_of(outlines: Sequence[Outline]) -> dict[tuple[str, str], str]:
    """The picture of each stage, by the names of pipeline and stage."""
    return {
        (outline.pipeline, stage.stage): _picture(segment, i)
        for outline in outlines
        for segment in outline.segments
        for i, stage in enumerate(segment.stages)
    }


def _picture(segment: SegmentOutline, i: int) -> str:
    stage = segment.stages[i]
    reads = ", ".join(map(_topic, segment.sources)) if i == 0 else "fused"
    outputs = list(_outputs(stage))
    if i + 1 < len(segment.stages):
        outputs.insert(0, "fused")
    writes = f" → {', '.join(outputs)}" if outputs else ""
    batching = stage.agent.batching
    size = "" if batching is None else f" <small>in batches of up to {batching.size}</small>"
    return f"{reads} → <b>{escape(stage.stage)}</b>{size}{writes}{_tree(stage)}"


def _outputs(stage: StageOutline) -> Iterator[str]:
    if stage.output is not None:
        yield _topic(stage.output)
    for route, topic in stage.routes.items():
        yield f"{_topic(topic)} <small>by the route {escape(route)}</small>"
    for topic, seconds in stage.retry_topics.items():
        yield f"{_topic(topic)} <small>back after {delay_name(seconds)}</small>"
    if stage.may_dead_letter:
        yield f'<span class="topic letters">{escape(stage.dead_letters)}</span>'


def _topic(name: str) -> str:
    return f'<span class="topic">{escape(name)}</span>'


def _tree(stage: StageOutline) -> str:
    """The combination that the agent is; nothing for an agent without parts."""
    return f"<ul>{_node(stage.agent)}</ul>" if stage.agent.parts else ""


def _node(agent: AgentOutline) -> str:
    kind = "" if agent.kind == "agent" else f"<small>{escape(agent.kind)}</small> "
    inner = "".join(map(_node, agent.parts))
    return f"<li>{kind}{escape(agent.name)}{f'<ul>{inner}</ul>' if inner else ''}</li>"
