"""Whether the compositions of a declared pipeline take what is before them."""

from collections.abc import Iterator

from streamapp.configuration.composition import Combined
from streamapp.configuration.composition_check import CompositionCheck
from streamapp.configuration.composition_ends import Output
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.declared_topics import PatternEnd, TopicEnd
from streamapp.configuration.secrets import Path
from streamapp.registry.choose_chain import Choice
from streamapp.registry.registry import AgentRegistry


def check_neighbours(
    registry: AgentRegistry, declared: DeclaredPipeline, choice: Choice, where: Path
) -> CompositionCheck:
    """Compare what each composition takes, part by part, with what comes from before it.

    The search for a chain knows one schema of what an agent takes. Parts of a composition may take
    different ones, such as the cases of `choose`.

    Args:
        registry: the agents.
        declared: the pipeline.
        choice: the agents that were chosen for it.
        where: where it is declared.
    """
    check = CompositionCheck(registry)
    outputs = tuple(_sources(registry, declared, where))
    for place, (stage, entry) in enumerate(zip(declared.stages, choice.entries, strict=True)):
        path: Path = (*where, "stages", place, "agent")
        if isinstance(stage.agent, Combined):
            ends = check.ends(stage.agent, path)
            check.compare(outputs, ends.inputs)
            outputs = ends.outputs
        else:
            outputs = (Output(path, f"what {entry.agent_id!r} gives", entry.output),)
    return check


def _sources(registry: AgentRegistry, declared: DeclaredPipeline, where: Path) -> Iterator[Output]:
    several = declared.source if isinstance(declared.source, list) else [declared.source]
    for one in several:
        if isinstance(one, TopicEnd | PatternEnd) and one.value_schema is not None:
            schema = registry.schemas.bound(one.value_schema)
            yield Output((*where, "source"), f"what {one.shown!r} has", schema)
