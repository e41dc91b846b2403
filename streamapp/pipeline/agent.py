"""Agents: functions and objects that turn one value into none, one or many."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, overload, runtime_checkable

from streamapp.errors import PipelineError
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Shape, inspect_signature

InT = TypeVar("InT")
OutT = TypeVar("OutT")
InT_contra = TypeVar("InT_contra", contravariant=True)
OutT_co = TypeVar("OutT_co", covariant=True)

Function1 = Callable[[InT], OutT]
Function2 = Callable[[InT, Context], OutT]


@runtime_checkable
class Lifecycle(Protocol):
    """An agent object with clients to open and close, once for each worker."""

    async def open(self) -> None:
        """Called before the first record."""

    async def close(self) -> None:
        """Called after the last record."""


@dataclass(frozen=True, slots=True)
class Agent(Generic[InT_contra, OutT_co]):
    """The smallest unit of work, typed by what it takes and what it gives.

    Made by `agent`; called like the function it was made of.

    Attributes:
        name: its name, by default that of the function or class.
        function: what is called with a value, and with a `Context` if it takes one.
        shape: how the function gives its outputs.
        takes_context: whether it is called with a `Context` as well.
        input_type: type of the values it takes.
        output_type: type of the values it gives; `type(None)` if it gives none.
        capabilities: what it can do.
        description: one line on what it does.
        blocking: whether it blocks its thread, and therefore runs in one of a pool.
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

    @property
    def lifecycle(self) -> Lifecycle | None:
        """The object to open and close, if there is one."""
        function: object = self.function
        return function if isinstance(function, Lifecycle) else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as it was written."""
        return self.function(*args, **kwargs)


class AgentDecorator:
    """Turns every shape of function into an `Agent`; use it through `agent`.

    Outputs may be `X`, `X | None`, `list[X]`, an iterator or an async iterator of `X`, with `X`
    or `Out[X]`, from a plain or an async function, or from an object that is called. A generator
    may be annotated `Iterable[X]`, but type checkers then take that for its output: say `Iterator`.
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

    # The order decides: the first overload that fits wins, so the narrower shapes come first.
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
        """Make an agent of a function, or a decorator with these settings.

        Args:
            function: the function, or an object that is called.
            name: name of the agent; by default that of the function.
            input_type: what it takes, if its annotations do not tell.
            output_type: what it gives, if they do not tell that.
            capabilities: what it can do.
            blocking: it waits without `await` (a database driver, a library of old): each attempt
                runs in a thread of a pool as large as the stage's `concurrency`. A thread cannot
                be interrupted: one that has timed out keeps its place and its key until it ends.

        Raises:
            PipelineError: the function's types cannot be told from its annotations, or it is
                async and declared as blocking.
        """
        if function is None:
            return AgentDecorator(name, input_type, output_type, capabilities, blocking=blocking)
        signature = inspect_signature(function, self._input_type, self._output_type)
        if self._blocking and signature.shape in (Shape.ASYNC, Shape.ASYNC_ITERATOR):
            raise PipelineError(
                f"agent {self._name or _name_of(function)!r} is async: drop blocking=True, or the"
                " async; a blocking agent is a plain function"
            )
        return Agent(
            name=self._name or _name_of(function),
            function=function,
            shape=signature.shape,
            takes_context=signature.takes_context,
            input_type=signature.input_type,
            output_type=signature.output_type,
            capabilities=self._capabilities,
            description=_first_line(function),
            blocking=self._blocking,
        )


agent = AgentDecorator()
"""Decorator that turns a function into an `Agent`; also `@agent(name=…, capabilities=[…])`."""


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None) or type(function).__name__
    return str(name).lower().replace("_", "-")


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]
