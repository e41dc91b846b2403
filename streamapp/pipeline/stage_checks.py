"""Checks of single stages of a pipeline: what they read and write, and what they are set to."""

from types import NoneType
from typing import Any

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.effects import check_effects
from streamapp.pipeline.fits import fits, type_name
from streamapp.pipeline.pipeline import Pipeline, StageDeclaration
from streamapp.pipeline.readable import why_unreadable
from streamapp.pipeline.reader_checks import check_reader
from streamapp.pipeline.routes import check_routes
from streamapp.pipeline.source import kind_and_name
from streamapp.policies.policy import ErrorPolicy
from streamapp.tombstones import takes_tombstones, value_type
from streamapp.topics.topic import Topic


def check_declaration(pipeline: Pipeline[Any, Any], i: int) -> None:
    """Require a stage to fit what is before it, and its settings to fit one another.

    Args:
        pipeline: the pipeline.
        i: place of the stage, from 0.

    Raises:
        PipelineError: something does not fit.
    """
    declared = pipeline.declarations[i]
    agent = declared.stage.agent
    where = f"pipeline {pipeline.name!r}, stage {declared.stage.stage_id!r}"
    if i == 0:
        for source in pipeline.sources:
            _check_input(where, agent, source.schema, kind_and_name(source))
    else:
        before = pipeline.declarations[i - 1]
        given, giver = before.stage.agent.output_type, f"stage {before.stage.stage_id!r}"
        if given is NoneType:
            raise PipelineError(f"{where} has nothing to read: {giver} gives no outputs")
        _check_input(where, agent, given, giver)
        if (reason := why_unreadable(given, agent.input_type)) is not None:
            raise PipelineError(f"{where} cannot read what {giver} writes: {reason}")
    # The type of a topic is that of its values, and a tombstone has none.
    values = value_type(agent.output_type)
    if declared.output is not None and not fits(values, declared.output.schema):
        raise PipelineError(
            f"{where} gives {type_name(agent.output_type)}, but its topic {declared.output.name!r}"
            f" is declared with {type_name(declared.output.schema)}"
        )
    for route, topic in declared.routes.items():
        if not fits(values, topic.schema):
            raise PipelineError(
                f"{where} gives {type_name(agent.output_type)}, but the topic {topic.name!r} of its"
                f" route {route!r} is declared with {type_name(topic.schema)}"
            )
    check_reader(where, declared, pipeline.sources if i == 0 else _between(pipeline, i))
    check_routes(where, agent, declared.routes)
    check_effects(where, declared.stage.config, fused=declared.fused)
    _check_batching(where, declared)
    if declared.stage.config.policy.uses(ErrorPolicy.SKIP) and not _fits(
        agent.input_type, agent.output_type
    ):
        raise PipelineError(
            f"{where}: the policy skip lets {type_name(agent.input_type)} flow on unchanged, but"
            f" the stage gives {type_name(agent.output_type)}; use dead_letter() or drop()"
        )


def _between(pipeline: Pipeline[Any, Any], i: int) -> tuple[Topic[Any], ...]:
    """The topic between a stage and the one before it."""
    before = pipeline.declarations[i - 1]
    name = f"{pipeline.name}.{before.stage.stage_id}"
    return (before.output or Topic(name, before.stage.agent.output_type),)


def _check_input(where: str, agent: Agent[Any, Any], given: Any, giver: str) -> None:
    """Require the agent to take what a topic or a stage gives."""
    if not _fits(given, agent.input_type):
        raise PipelineError(
            f"{where} takes {type_name(agent.input_type)}, but {giver} gives {type_name(given)}"
            + (_TOMBSTONES if _fits(value_type(given), agent.input_type) else "")
        )


def _check_batching(where: str, declared: StageDeclaration) -> None:
    batching = declared.stage.agent.batching
    if batching is None:
        return
    if declared.fused:
        raise PipelineError(
            f"{where} is fused, but its agent works on batches, which are put together of records;"
            " drop fused"
        )
    most = declared.stage.config.max_in_flight_records
    if batching.size > most // 2:  # the intake takes no more while half of the bound is in flight
        raise PipelineError(
            f"{where} works on batches of {batching.size}, but takes no further records while more"
            f" than half of {most} are in flight; set max_in_flight_records to at least"
            f" {2 * batching.size}, or make the batches smaller"
        )


def _fits(given: Any, taken: Any) -> bool:
    """Whether an agent that takes one type can be given another, tombstones included.

    To a type checker `None` is of the type `Any` too, but only `X | None` declares tombstones.
    """
    has_tombstones = takes_tombstones(given) and not takes_tombstones(taken)
    return fits(given, taken) and not has_tombstones


_TOMBSTONES = ", tombstones too; annotate its input with | None, which stands for them"
