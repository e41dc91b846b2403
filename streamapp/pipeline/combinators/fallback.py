"""`fallback(primary, secondary)`: another agent takes over what one fails with."""

from collections.abc import Sequence
from typing import Any, TypeVar

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.combined import combined
from streamapp.pipeline.combinators.copies import copier_for
from streamapp.pipeline.combinators.notes import with_notes
from streamapp.pipeline.combinators.outages import Outages
from streamapp.pipeline.combinators.part import Part
from streamapp.pipeline.combinators.tasks import Watch
from streamapp.pipeline.combinators.types import (
    any_results,
    check_agents,
    common_input,
)
from streamapp.pipeline.context import Context
from streamapp.pipeline.fits import fits, type_name

InT = TypeVar("InT")
OutT = TypeVar("OutT")


def fallback(
    primary: Agent[InT, OutT],
    secondary: Agent[InT, OutT],
    /,
    *others: Agent[InT, OutT],
    name: str | None = None,
) -> Agent[InT, OutT]:
    """Make an agent that asks the first, and the next one whenever one fails.

    Every failure moves on, those that are the record's fault too: what one agent cannot read or
    validates too strictly, another may manage. Only the cancellation of the attempt does not. Each
    agent gets the input as it came, whatever those before it did to theirs. If all fail, the error
    is that of the last, with notes on the others. The outputs of one call count only when it ended,
    so a generator's are collected, up to 10,000.

    Args:
        primary: is asked first.
        secondary: is asked when the first has failed.
        others: are asked in turn when all before have failed.
        name: name of the agent; by default those of its agents, joined by `-else-`.

    Raises:
        PipelineError: inputs differ, an agent gives another type than the first, or an agent is
            given twice.
    """
    agents = (primary, secondary, *others)
    check_agents("fallback()", agents)
    name = name or "-else-".join(agent.name for agent in agents)
    where = f"fallback {name!r}"
    _check_members(where, agents)
    input_type = common_input(where, agents)
    run = _run(where, [Part(agent) for agent in agents], input_type)
    return combined(
        "fallback",
        name,
        agents,
        run,
        input_type=input_type,
        output_type=primary.output_type,
        results=any_results(agents),
    )


def _check_members(where: str, agents: Sequence[Agent[Any, Any]]) -> None:
    primary = agents[0]
    for i, agent in enumerate(agents):
        if any(agent.function is other.function for other in agents[:i]):
            raise PipelineError(
                f"{where}: agent {agent.name!r} cannot take over from itself; to call it again,"
                " make it a branch with retries, or use the policy of the stage"
            )
        if not fits(agent.output_type, primary.output_type):
            raise PipelineError(
                f"{where}: agent {agent.name!r} gives {type_name(agent.output_type)}, but"
                f" {primary.name!r} gives {type_name(primary.output_type)}"
            )


def _run(where: str, parts: Sequence[Part], input_type: Any) -> Any:
    copy_input = copier_for(input_type)
    outages = Outages(where, "another agent answers")

    async def run(value: Any, context: Context | None = None) -> Any:
        watch = Watch()
        failures: list[tuple[str, Exception]] = []
        for part in parts:
            is_last = part is parts[-1]
            try:
                result = await part.result(value if is_last else copy_input(value), context)
                part.check_types(result)
            except BaseException as raised:  # noqa: BLE001 - an agent may raise anything
                error = watch.failure(raised, part.name)
                failures.append((part.name, error))
                if not is_last:
                    outages.tell(part.name, error)
            else:
                return result
        raise with_notes(where, failures)

    return run
