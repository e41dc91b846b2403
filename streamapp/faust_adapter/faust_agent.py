"""Makes an agent of a Faust agent, whose application runs in this process."""

from collections.abc import Iterable
from types import NoneType
from typing import Any, TypeVar, overload
from weakref import WeakKeyDictionary

from faust.agents import Agent as FaustAgent

from streamapp.errors import PipelineError
from streamapp.faust_adapter.embedded_app import EmbeddedApp
from streamapp.faust_adapter.faust_function import FaustFunction
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.signature import Results, Shape

OutT = TypeVar("OutT")

_EMBEDDED: WeakKeyDictionary[Any, EmbeddedApp] = WeakKeyDictionary()


@overload
def faust_agent(
    agent: Any, *, name: str | None = ..., capabilities: Iterable[Capability] = ...
) -> Agent[bytes | None, None]: ...
@overload
def faust_agent(
    agent: Any,
    gives: type[OutT],
    *,
    name: str | None = ...,
    capabilities: Iterable[Capability] = ...,
) -> Agent[bytes | None, OutT]: ...
def faust_agent(
    agent: Any,
    gives: Any = NoneType,
    *,
    name: str | None = None,
    capabilities: Iterable[Capability] = (),
) -> Agent[bytes | None, Any]:
    """Make an agent of a Faust agent, to be a stage beside others.

    The application runs in the worker, with its consumer group, its tables and its producer; its
    agents work on one record at a time. The stage decides what a failure means, writes dead
    letters and outputs, and commits when these are acknowledged: at least once. What a failed
    attempt has changed in a table or sent by itself stays, and a retry does it again.

    Args:
        agent: what `@app.agent(topic)` has made.
        gives: type of what it yields; a `faust.Record` is read as this type. Without it, it yields
            nothing.
        name: name of the agent; by default that of Faust.
        capabilities: kinds of work that it offers.

    Raises:
        PipelineError: it is no Faust agent, or one that cannot be a stage.
    """
    if not isinstance(agent, FaustAgent):
        raise PipelineError(
            f"faust_agent() takes what @app.agent(topic) of Faust has made, not {agent!r}"
        )
    _require_stage(agent)
    embedded = _EMBEDDED.get(agent.app)
    if embedded is None:
        embedded = _EMBEDDED[agent.app] = EmbeddedApp(agent.app)
    return Agent(
        name=name or agent.name.rpartition(".")[2],
        function=FaustFunction(agent, embedded, gives),
        shape=Shape.ASYNC,
        takes_context=True,
        input_type=bytes | None,
        output_type=gives,
        capabilities=frozenset(capabilities),
        description=agent.help,
        results=Results(none=True, many=gives is not NoneType),
    )


def _require_stage(agent: Any) -> None:
    """Refuse what a stage cannot keep.

    Raises:
        PipelineError: with the setting, and what to do.
    """
    where = f"the Faust agent {agent.name!r}"
    if not getattr(agent.channel, "topics", ()):
        raise PipelineError(
            f"{where} reads no topic by its name, but a pattern or a channel in memory; give it"
            " app.topic() with the names"
        )
    if agent.concurrency != 1:
        raise PipelineError(
            f"{where} has concurrency {agent.concurrency}, with which Faust loses records; a stage"
            " works on one record at a time: take it out"
        )
    if agent.isolated_partitions:
        raise PipelineError(f"{where} has isolated_partitions, which a stage does not: take it out")
    if agent._sinks:  # noqa: SLF001 - there is no public way
        raise PipelineError(
            f"{where} has sinks, to which Faust writes without waiting; take them out, and name"
            " the topic with .sink() of the pipeline"
        )
