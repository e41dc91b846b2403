"""The outline of a pipeline as a flowchart of Mermaid.

Topics are cylinders, stages are boxes, dead letters are dashed, and what is retried later goes
round in a circle. The parts of an agent are boxes
in a box; their order is that of their declaration.
"""

from collections.abc import Iterator

from streamapp.pipeline.outline import AgentOutline, Outline, StageOutline, TopicRole
from streamapp.policies.delays import delay_name

_ENTITIES = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "\n": " "}
"""What would end a label in quotes or be read as HTML."""


def as_mermaid(outline: Outline) -> str:
    """The flowchart, without a fence around it."""
    return "\n".join(("flowchart LR", *_lines(outline))) + "\n"


def _lines(outline: Outline) -> Iterator[str]:
    stages = [stage for segment in outline.segments for stage in segment.stages]
    # Ids are numbers, since names may hold words that Mermaid takes for its own.
    ids = {stage.stage: f"stage{i}" for i, stage in enumerate(stages)}
    drawn = [topic for topic in outline.topics if topic.name in set(_used(outline))]
    topics = {topic.name: f"topic{i}" for i, topic in enumerate(drawn)}
    for topic in drawn:
        style = ":::deadLetters" if TopicRole.DEAD_LETTERS in topic.roles else ""
        yield f"  {topics[topic.name]}[({_label(topic.name)})]{style}"
    for stage in stages:
        yield from _stage(ids[stage.stage], stage)
    for segment in outline.segments:
        for source in segment.sources:
            yield f"  {topics[source]} --> {ids[segment.stages[0].stage]}"
        for before, fused in zip(segment.stages, segment.stages[1:], strict=False):
            yield f"  {ids[before.stage]} -- fused --> {ids[fused.stage]}"
        for stage in segment.stages:
            yield from _writes(ids[stage.stage], stage, topics)
    yield "  classDef deadLetters stroke-dasharray: 4 4"


def _used(outline: Outline) -> Iterator[str]:
    """Names of the topics that are drawn: not those of dead letters that no failure makes."""
    for segment in outline.segments:
        yield from segment.sources
        for stage in segment.stages:
            yield from stage.routes.values()
            yield from stage.retry_topics
            if stage.output is not None:
                yield stage.output
            if stage.may_dead_letter:
                yield stage.dead_letters


def _stage(id_: str, stage: StageOutline) -> Iterator[str]:
    if not stage.agent.parts:
        yield f"  {id_}[{_label(_titled(stage))}]"
        return
    agent = stage.agent
    named = "" if agent.name == stage.stage else f" {agent.name}"
    yield from _parts(id_, f"{stage.stage}: {agent.kind}{named}", agent, "  ")


def _titled(stage: StageOutline) -> str:
    batching = stage.agent.batching
    return stage.stage if batching is None else f"{stage.stage}: batches of {batching.size}"


def _parts(id_: str, title: str, agent: AgentOutline, indent: str) -> Iterator[str]:
    yield f"{indent}subgraph {id_}[{_label(title)}]"
    for i, part in enumerate(agent.parts):
        inner = f"{id_}_{i}"
        if part.parts:
            yield from _parts(inner, f"{part.kind} {part.name}", part, f"{indent}  ")
        else:
            yield f"{indent}  {inner}[{_label(part.name)}]"
    yield f"{indent}end"


def _writes(id_: str, stage: StageOutline, topics: dict[str, str]) -> Iterator[str]:
    if stage.output is not None:
        yield f"  {id_} --> {topics[stage.output]}"
    for route, topic in stage.routes.items():
        yield f"  {id_} -- {_label(route)} --> {topics[topic]}"
    for topic, seconds in stage.retry_topics.items():
        yield f"  {id_} -.-> {topics[topic]}"
        yield f"  {topics[topic]} -- {_label(f'after {delay_name(seconds)}')} --> {id_}"
    if stage.may_dead_letter:
        yield f"  {id_} -.-> {topics[stage.dead_letters]}"


def _label(text: str) -> str:
    return f'"{"".join(_ENTITIES.get(character, character) for character in text)}"'
