"""A pipeline in the file."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from streamapp.configuration.declared_middleware import DeclaredMiddleware
from streamapp.configuration.declared_stage import DeclaredStage
from streamapp.configuration.declared_topics import Sink, Sources, TopicEnd, check_settings
from streamapp.configuration.section import Section, TopicName
from streamapp.pipeline.audit import Audit
from streamapp.topics.declaration import DeclaredTopic

MOST_STAGES = 100
"""Most stages of a declared pipeline."""


class DeclaredPipeline(Section):
    """A pipeline that is made of agents.

    Attributes:
        source: what it reads: a topic, a pattern of topics, or a list of these.
        sink: topic that it writes; none: its last stage has a topic of its own, or no outputs.
        stages: at least one that names its agent, or two.
        bundle: name of the bundle in which it runs with others of the same bundle, read by one
            consumer; none: it runs alone.
        exclude: ids of agents that may not be chosen.
        refuse_excess: whether it is refused if its agents need more than the machine has, which is
            a warning otherwise.
        audit: what the stages add to the audit trail of the data.
        middleware: what runs around the agent of every stage, in this order.
        topics: how topics are made by `streamapp topics apply`, as in the files of `topics/`.
    """

    source: Sources
    sink: Sink | None = None
    stages: list[DeclaredStage] = Field(min_length=1, max_length=MOST_STAGES)
    bundle: TopicName | None = None
    exclude: list[str] = Field(default_factory=list)
    refuse_excess: bool = False
    audit: Audit = Audit.ERRORS
    middleware: list[DeclaredMiddleware] = Field(default_factory=list, max_length=MOST_STAGES)
    topics: Annotated[list[DeclaredTopic], AfterValidator(check_settings)] = Field(
        default_factory=list
    )

    @property
    def reads(self) -> str:
        """What it reads, for a table."""
        several = self.source if isinstance(self.source, list) else [self.source]
        return ", ".join(one if isinstance(one, str) else one.shown for one in several)

    @property
    def writes(self) -> str:
        """What it writes, for a table; empty without a sink."""
        return self.sink.shown if isinstance(self.sink, TopicEnd) else self.sink or ""

    @model_validator(mode="after")
    def _has_a_sequence_to_search(self) -> Self:
        if len(self.stages) == 1 and self.stages[0].agent is None:
            raise ValueError(
                "give the agent of the only stage; agents are chosen for a sequence of at least two"
                " capabilities"
            )
        return self
