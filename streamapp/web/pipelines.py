"""What pipelines are, for `StatusReport`: their outlines without settings and promises."""

from streamapp.observability.pipeline_report import (
    AgentReport,
    PipelineReport,
    PlacedStage,
    SegmentReport,
)
from streamapp.pipeline.outline import AgentOutline, Outline, StageOutline


def pipeline_report(outline: Outline) -> PipelineReport:
    """What a pipeline is."""
    return PipelineReport(
        pipeline=outline.pipeline,
        segments=tuple(
            SegmentReport(
                group=one.group,
                sources=one.sources,
                stages=tuple(_placed(stage) for stage in one.stages),
            )
            for one in outline.segments
        ),
    )


def _placed(stage: StageOutline) -> PlacedStage:
    batching = stage.agent.batching
    return PlacedStage(
        stage=stage.stage,
        agent=_agent(stage.agent),
        batch_size=None if batching is None else batching.size,
        output=stage.output,
        routes=stage.routes,
        retry_topics=stage.retry_topics,
        dead_letters=stage.dead_letters if stage.may_dead_letter else None,
    )


def _agent(agent: AgentOutline) -> AgentReport:
    return AgentReport(name=agent.name, kind=agent.kind, parts=tuple(map(_agent, agent.parts)))
