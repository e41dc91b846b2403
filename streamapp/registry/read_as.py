"""Lets an agent read what another type writes, where the two are proven to fit.

Pipelines compare types, as type checkers do: a model never passes for another, even if all that is
written as one can be read as the other. An assembled pipeline knows more, and says so here.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.combined import combined
from streamapp.pipeline.combinators.part import Part
from streamapp.pipeline.context import Context
from streamapp.pipeline.fits import type_name
from streamapp.serialisation import codec_for


def read_as(agent: Agent[Any, Any], given: Any) -> Agent[Any, Any]:
    """Make an agent of the same name that takes values of a type which fits that of the agent.

    Each value is written as the one type and read as the other.

    Args:
        agent: the agent.
        given: the type of what it is given.

    Raises:
        PipelineError: it works on batches, which cannot be put together around it.
    """
    if agent.batching is not None:
        raise PipelineError(
            f"the batch agent {agent.name!r} takes {type_name(agent.input_type)}, and is given"
            f" {type_name(given)}: only an agent that takes one value can read another type"
        )
    encode, decode = codec_for(given).encode, codec_for(agent.input_type).decode
    part = Part(agent)

    def converted(value: Any) -> Any:
        return None if value is None else decode(encode(value))

    async def run(value: Any, context: Context | None = None) -> Any:
        return await part.result(converted(value), context)

    async def yield_all(value: Any, context: Context | None = None) -> AsyncGenerator[Any, None]:
        async with aclosing(part.outputs(converted(value), context)) as outputs:
            async for one in outputs:
                yield one

    return combined(
        "read_as",
        agent.name,
        (agent,),
        yield_all if part.yields else run,
        input_type=given,
        output_type=agent.output_type,
        results=agent.results,
        yields=part.yields,
    )
