"""What a pipeline is, as data: its stages, what they read and write, and the parts of their agents.

It says what a picture of the pipeline needs; `streamapp plan` says all.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)


class AgentReport(_Data):
    """An agent and the parts it is made of, a tree.

    Attributes:
        name: name of the agent.
        kind: `agent`, or the combinator it was made by.
        parts: the agents it is made of, in the order of their declaration.
    """

    name: str
    kind: str
    parts: "tuple[AgentReport, ...]" = ()


class PlacedStage(_Data):
    """A stage in its place.

    Attributes:
        stage: what it is called.
        agent: its agent.
        batch_size: most records of one call; `None` if its agent takes one at a time.
        output: topic of its outputs; `None` if it has none, or if a fused stage takes them.
        routes: topics by the name of the route.
        retry_topics: seconds that records wait, by topic.
        dead_letters: its dead-letter topic; `None` if no failure makes a dead letter.
    """

    stage: str
    agent: AgentReport
    batch_size: int | None = None
    output: str | None = None
    routes: Mapping[str, str] = Field(default_factory=dict)
    retry_topics: Mapping[str, float] = Field(default_factory=dict)
    dead_letters: str | None = None


class SegmentReport(_Data):
    """Stages that share a consumer group; all but the first are fused.

    Attributes:
        group: name of the consumer group.
        sources: topics that it reads, and patterns of topics.
        stages: in the order in which records pass through them.
    """

    group: str
    sources: tuple[str, ...]
    stages: tuple[PlacedStage, ...]


class PipelineReport(_Data):
    """A pipeline: its name, and its segments in the order in which records pass through them."""

    pipeline: str
    segments: tuple[SegmentReport, ...]
