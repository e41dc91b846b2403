"""Sends each object to the first route whose rules hold for it."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from streamapp.agents.configuration import AgentConfiguration
from streamapp.agents.rules import Condition, Conditions
from streamapp.errors import Permanent
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.out import Out


class Unmatched(StrEnum):
    """What becomes of an object that no route takes."""

    OUTPUT = "output"  # it goes to the output topic of the stage
    DROP = "drop"
    FAIL = "fail"  # it is the record's fault


class Route(Condition):
    """A route, and which objects it takes.

    Attributes:
        to: its name, as the stage declares it.
    """

    to: str = Field(min_length=1)


class RouterConfiguration(AgentConfiguration):
    """Configuration of a `Router`.

    Attributes:
        routes: the routes; the first one that takes an object gets it.
        unmatched: what becomes of an object that none takes.
    """

    routes: tuple[Route, ...] = Field(min_length=1)
    unmatched: Unmatched = Unmatched.OUTPUT


class Router:
    """Sends each object to the first route whose rules hold for it.

    The stage has to declare each route with its topic.

    Attributes:
        routes: names of its routes.

    Raises:
        Permanent: no route takes the object and `unmatched` is `fail`, or what a rule asks for
            cannot be compared.
    """

    capabilities = (Capability.STREAM_PROCESSING,)
    Configuration = RouterConfiguration

    def __init__(self, configuration: RouterConfiguration) -> None:
        self._routes = [(Conditions(route), route.to) for route in configuration.routes]
        self.routes = tuple(dict.fromkeys(route.to for route in configuration.routes))
        self._unmatched = configuration.unmatched

    def __call__(self, value: dict[str, Any]) -> Out[dict[str, Any]] | None:
        """The object for its route."""
        for conditions, to in self._routes:
            if conditions.hold(value):
                return Out(value, to=to)
        if self._unmatched is Unmatched.FAIL:
            raise Permanent("no route takes it; add one, or say what becomes of it in 'unmatched'")
        return Out(value) if self._unmatched is Unmatched.OUTPUT else None
