"""Routes that agents are known to use, held against those that their stage declares."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol, runtime_checkable

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent, walk


@runtime_checkable
class UsesRoutes(Protocol):
    """An agent object that knows which routes it uses.

    Attributes:
        routes: their names.
    """

    routes: Collection[str]


def check_routes(where: str, agent: Agent[Any, Any], declared: Mapping[str, object]) -> None:
    """Require a stage to declare the routes that its agent is known to use.

    Of functions that return `Out(value, to=…)` they are not known: an attempt with another route
    fails.

    Args:
        where: beginning of the error message.
        agent: the agent, with its parts.
        declared: the routes of its stage.

    Raises:
        PipelineError: one is not declared.
    """
    for part in walk(agent):
        function: object = part.function
        if not isinstance(function, UsesRoutes):
            continue
        for route in function.routes:
            if route not in declared:
                names = ", ".join(map(repr, declared)) or "none"
                raise PipelineError(
                    f"{where}: the agent {part.name!r} sends to the route {route!r}, which is not"
                    f" declared (declared: {names}); give its topic in routes"
                )
