"""Which agent the code belongs to that runs when the event loop is found blocked."""

from collections.abc import Iterable, Mapping
from types import CodeType

from streamapp.observability.loop_watch import Owner
from streamapp.pipeline.agent import walk
from streamapp.pipeline.codes import codes_of
from streamapp.pipeline.topology import Segment


def code_owners(segments: Iterable[Segment]) -> Mapping[CodeType, Owner]:
    """The stage and agent of all code of the agents of these segments."""
    return {
        code: Owner(segment.pipeline, step.stage.stage_id, agent.name)
        for segment in segments
        for step in segment.steps
        for agent in walk(step.stage.agent)
        if not agent.parts
        for code in codes_of(agent)
    }
