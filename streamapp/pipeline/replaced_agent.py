"""A segment with another agent in one of its stages, which keeps its topics, settings and group."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.fits import fits, type_name
from streamapp.pipeline.topology import Segment, Step
from streamapp.policies.policy import ErrorPolicy
from streamapp.tombstones import takes_tombstones, value_type
from streamapp.topics.topic import Topic


def with_agent(segment: Segment, stage_id: str, agent: Agent[Any, Any]) -> Segment:
    """The segment with this agent in the stage of this name.

    Args:
        segment: the segment.
        stage_id: name of one of its stages.
        agent: takes the type that the agent which it replaces takes.

    Raises:
        PipelineError: it takes another type, or cannot work under the settings of the stage.
    """
    where = f"pipeline {segment.pipeline!r}, stage {stage_id!r}"
    steps = []
    for i, step in enumerate(segment.steps):
        if step.stage.stage_id == stage_id:
            _check(where, step, agent, is_fused=i > 0)
            step = _with_agent(step, agent)  # noqa: PLW2901 - the step from now on
        steps.append(step)
    return replace(segment, steps=tuple(steps))


def _with_agent(step: Step, agent: Agent[Any, Any]) -> Step:
    values = value_type(agent.output_type)
    return replace(
        step,
        stage=step.stage.model_copy(update={"agent": agent}),
        output=None if step.output is None else _written(step.output, values),
        routes=_all_written(step.routes, values),
    )


def _all_written(routes: Mapping[str, Topic[Any]], values: Any) -> dict[str, Topic[Any]]:
    return {route: _written(topic, values) for route, topic in routes.items()}


def _written(topic: Topic[Any], values: Any) -> Topic[Any]:
    """The topic, of the type that is written; the caller knows that it can be read."""
    return topic if fits(values, topic.schema) else Topic(topic.name, values)


def _check(where: str, step: Step, agent: Agent[Any, Any], *, is_fused: bool) -> None:
    old, policy = step.stage.agent, step.stage.config.policy
    if not fits(old.input_type, agent.input_type):
        raise PipelineError(
            f"{where} takes {type_name(old.input_type)}, and agent {agent.name!r} takes"
            f" {type_name(agent.input_type)}"
        )
    if agent.batching is not None:
        most = step.stage.config.max_in_flight_records // 2
        if is_fused or agent.batching.size > most:
            raise PipelineError(
                f"{where} cannot put batches together for agent {agent.name!r}:"
                f" {'it is fused' if is_fused else f'they may have {most} records at most'}"
            )
    passes = fits(agent.input_type, agent.output_type) and (
        takes_tombstones(agent.input_type) <= takes_tombstones(agent.output_type)
    )
    if policy.uses(ErrorPolicy.SKIP) and not passes:
        raise PipelineError(
            f"{where}: the policy skip lets {type_name(agent.input_type)} flow on unchanged, but"
            f" agent {agent.name!r} gives {type_name(agent.output_type)}"
        )
