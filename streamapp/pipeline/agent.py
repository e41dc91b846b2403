"""Agents: functions and objects that return no, one or several outputs for one input."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload, runtime_checkable

from streamapp.errors import PipelineError
from streamapp.pipeline.batching import Batching
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.reader import HasReader, Reader
from streamapp.pipeline.signature import (
    ONE_VALUE,
    Results,
    Shape,
    Signature,
    innermost,
    inspect_signature,
)

InT = TypeVar("InT")
OutT = TypeVar("OutT")
InT_contra = TypeVar("InT_contra", contravariant=True)
OutT_co = TypeVar("OutT_co", covariant=True)

Function1 = Callable[[InT], OutT]
Function2 = Callable[[InT, Context], OutT]


@runtime_checkable
class Lifecycle(Protocol):
    """An agent object with clients, which each worker opens and closes once."""

    async def open(self) -> None:
        """Called before the first record."""

    async def close(self) -> None:
        """Called after the last record."""


@dataclass(frozen=True, slots=True)
class Agent(Generic[InT_contra, OutT_co]):
    """The smallest unit of work, typed by its input and output.

    Made by the decorator `agent`; it can be called like the function it was made from.

    Attributes:
        name: name of the agent, by default that of the function or class.
        function: called with a value, and with a `Context` if it takes one.
        shape: how the function returns its outputs.
        takes_context: whether the function takes a `Context`.
        input_type: type of its inputs; with `| None` it is given tombstones, as `None`.
        output_type: type of its outputs, with `| None` if they may be tombstones; `type(None)` if
            it has none.
        capabilities: kinds of work that it offers.
        description: one line on what it does.
        blocking: whether it blocks its thread and therefore runs in a thread pool.
        kind: `agent`, or which combinator it was made by, such as `parallel`.
        parts: the agents that it was made of, in the order of their declaration.
        results: what a call may give besides one value, as far as annotations say.
        batching: when its function is called, if that takes a list of inputs; `None` for others.
    """

    name: str
    function: Callable[..., Any]
    shape: Shape
    takes_context: bool
    input_type: Any
    output_type: Any
    capabilities: frozenset[Capability] = frozenset()
    description: str = ""
    blocking: bool = False
    kind: str = "agent"
    parts: "tuple[Agent[Any, Any], ...]" = ()
    results: Results = ONE_VALUE
    batching: Batching | None = None

    @property
    def is_async(self) -> bool:
        """Whether a call has to be awaited: it may wait, or run in a thread."""
        return self.blocking or self.shape in (Shape.ASYNC, Shape.ASYNC_ITERATOR)

    @property
    def lifecycle(self) -> Lifecycle | None:
        """The function, if it is an object to open and close; else `None`."""
        function: object = self.function
        return function if isinstance(function, Lifecycle) else None

    @property
    def reader(self) -> Reader | None:
        """What reads the topics of its stage, if that is not a consumer of the broker."""
        function: object = self.function
        return function.reader if isinstance(function, HasReader) else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)


def walk(agent: Agent[Any, Any]) -> Iterator[Agent[Any, Any]]:
    """An agent and the parts it is made of, depth-first; a part that is used twice comes twice."""
    yield agent
    for part in agent.parts:
        yield from walk(part)


class Unfinished:
    """What becomes an agent by one more call.

    Attributes:
        told: what it is and what to add, for the message to who gives it as an agent.
    """

    told: ClassVar[str]


def require_no_agent(value: object) -> None:
    """Refuse to make an agent of an agent.

    Raises:
        PipelineError: it is one.
    """
    if isinstance(value, Agent):
        raise PipelineError(
            f"agent {value.name!r} is already an agent; give it as it is, or drop one of its"
            " decorators"
        )


class AgentDecorator:
    """Turns every shape of function into an `Agent`; use it through `agent`.

    A plain function, an async function or a callable object may return `X`, `X | None`, `list[X]`,
    an iterator or an async iterator; `Out[X]` may stand for `X`, and `Out[X | None]` declares
    tombstones. Annotate a generator as `Iterator[X]`: type checkers would take `Iterable[X]` for
    the type of one output.
    """

    def __init__(
        self,
        name: str | None = None,
        input_type: Any = None,
        output_type: Any = None,
        capabilities: Iterable[Capability] = (),
        *,
        blocking: bool = False,
    ) -> None:
        self._blocking = blocking
        self._name = name
        self._input_type = input_type
        self._output_type = output_type
        self._capabilities = frozenset(capabilities)

    # Type checkers take the first overload that fits, so the narrower shapes come first.
    @overload
    def __call__(self, function: Function1[InT, AsyncIterator[Out[OutT]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function2[InT, AsyncIterator[Out[OutT]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function1[InT, AsyncIterator[OutT]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function2[InT, AsyncIterator[OutT]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: Function1[InT, Awaitable[list[Out[OutT]] | None]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: Function2[InT, Awaitable[list[Out[OutT]] | None]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: Function1[InT, Awaitable[list[OutT] | None]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: Function2[InT, Awaitable[list[OutT] | None]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: Function1[InT, Awaitable[Out[OutT] | None]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: Function2[InT, Awaitable[Out[OutT] | None]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function1[InT, Awaitable[OutT | None]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function2[InT, Awaitable[OutT | None]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function1[InT, Iterator[Out[OutT]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function2[InT, Iterator[Out[OutT]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function1[InT, Iterator[OutT]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function2[InT, Iterator[OutT]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function1[InT, list[Out[OutT]] | None]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function2[InT, list[Out[OutT]] | None]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function1[InT, list[OutT] | None]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function2[InT, list[OutT] | None]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function1[InT, Out[OutT] | None]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function2[InT, Out[OutT] | None]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function1[InT, OutT | None]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Function2[InT, OutT | None]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self,
        *,
        name: str | None = None,
        input_type: Any = None,
        output_type: Any = None,
        capabilities: Iterable[Capability] = (),
        blocking: bool = False,
    ) -> "AgentDecorator": ...
    def __call__(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        input_type: Any = None,
        output_type: Any = None,
        capabilities: Iterable[Capability] = (),
        blocking: bool = False,
    ) -> Any:
        """Make an agent from a function, or return a decorator with these settings.

        Args:
            function: the function, or a callable object.
            name: name of the agent; by default that of the function.
            input_type: type of its inputs, if they are not annotated.
            output_type: type of its outputs, if they are not annotated; `X | None` declares
                tombstones.
            capabilities: kinds of work that it offers.
            blocking: whether it waits without `await`, as many database drivers do. Each attempt
                then runs in a thread; the pool has `concurrency` threads. A thread cannot be
                interrupted: after a timeout it keeps its lane and its key until it ends.

        Raises:
            PipelineError: a type is neither annotated nor given, the function is async and
                declared as blocking, or it is an agent already.
        """
        if function is None:
            return AgentDecorator(name, input_type, output_type, capabilities, blocking=blocking)
        require_no_agent(function)
        signature = inspect_signature(function, self._input_type, self._output_type)
        return agent_of(
            function,
            signature,
            self._name or agent_name(function),
            self._capabilities,
            blocking=self._blocking,
        )


def agent_of(
    function: Callable[..., Any],
    signature: Signature,
    name: str,
    capabilities: frozenset[Capability],
    *,
    blocking: bool,
    batching: Batching | None = None,
) -> Agent[Any, Any]:
    """Make the agent of a function whose signature is known.

    Raises:
        PipelineError: it is async and declared as blocking.
    """
    if blocking and signature.shape in (Shape.ASYNC, Shape.ASYNC_ITERATOR):
        raise PipelineError(
            f"agent {name!r} is async and cannot be blocking; drop blocking=True, or make it a"
            " plain function"
        )
    return Agent(
        name=name,
        function=function,
        shape=signature.shape,
        takes_context=signature.takes_context,
        input_type=signature.input_type,
        output_type=signature.output_type,
        capabilities=capabilities,
        description=first_line(function),
        blocking=blocking,
        results=signature.results,
        batching=batching,
    )


agent = AgentDecorator()
"""Decorator that turns a function into an `Agent`; also `@agent(name=…, capabilities=[…])`."""


def agent_name(function: Callable[..., Any]) -> str:
    """The name that an agent gets from its function, or from the class of its object."""
    inner = innermost(function)
    name = getattr(inner, "__name__", None) or type(inner).__name__
    return str(name).lower().replace("_", "-")


def first_line(function: Callable[..., Any]) -> str:
    """The first line of its documentation."""
    return (innermost(function).__doc__ or "").strip().partition("\n")[0]
