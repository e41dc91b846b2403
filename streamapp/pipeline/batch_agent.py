"""Batch agents: functions that take several values at a time and answer for each of them."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Never, TypeAlias, TypeVar, overload

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent, agent_name, agent_of, require_no_agent
from streamapp.pipeline.batching import DEFAULT_LINGER_SECONDS, Batching, checked_batching
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Shape, inspect_signature

InT = TypeVar("InT")
OutT = TypeVar("OutT")

Values: TypeAlias = Callable[[list[InT]], OutT]
ValuesAndContexts: TypeAlias = Callable[[list[InT], list[Context]], OutT]
Each: TypeAlias = Sequence[OutT | Exception | None]
"""One result for each item, in their order."""


class BatchAgentDecorator:
    """Turns a function of a list into an `Agent` of its items; use it through `batch_agent`."""

    def __init__(
        self,
        batching: Batching,
        name: str | None,
        input_type: Any,
        output_type: Any,
        capabilities: Iterable[Capability],
        *,
        blocking: bool,
    ) -> None:
        self._batching = batching
        self._name = name
        self._input_type = input_type
        self._output_type = output_type
        self._capabilities = frozenset(capabilities)
        self._blocking = blocking

    # Type checkers take the first overload that fits, so the narrower shapes come first.
    @overload
    def __call__(self, function: Values[InT, Awaitable[None]]) -> Agent[InT, None]: ...
    @overload
    def __call__(self, function: ValuesAndContexts[InT, Awaitable[None]]) -> Agent[InT, None]: ...
    @overload
    def __call__(
        self, function: Values[InT, Awaitable[Each[list[Out[OutT]]]]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: ValuesAndContexts[InT, Awaitable[Each[list[Out[OutT]]]]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Values[InT, Awaitable[Each[list[OutT]]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: ValuesAndContexts[InT, Awaitable[Each[list[OutT]]]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Values[InT, Awaitable[Each[Out[OutT]]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: ValuesAndContexts[InT, Awaitable[Each[Out[OutT]]]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Values[InT, Awaitable[Each[OutT]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: ValuesAndContexts[InT, Awaitable[Each[OutT]]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Values[InT, None]) -> Agent[InT, None]: ...
    @overload
    def __call__(self, function: ValuesAndContexts[InT, None]) -> Agent[InT, None]: ...
    @overload
    def __call__(self, function: Values[InT, Each[list[Out[OutT]]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(
        self, function: ValuesAndContexts[InT, Each[list[Out[OutT]]]]
    ) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Values[InT, Each[list[OutT]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: ValuesAndContexts[InT, Each[list[OutT]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Values[InT, Each[Out[OutT]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: ValuesAndContexts[InT, Each[Out[OutT]]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: Values[InT, Each[OutT]]) -> Agent[InT, OutT]: ...
    @overload
    def __call__(self, function: ValuesAndContexts[InT, Each[OutT]]) -> Agent[InT, OutT]: ...
    def __call__(self, function: Callable[..., Any]) -> Any:
        """Make an agent from a function of a list, or from such a callable object.

        Raises:
            PipelineError: it does not take and return a list, a type is neither annotated nor
                given, it is async and declared as blocking, or it is an agent already.
        """
        require_no_agent(function)
        signature = inspect_signature(
            function, self._input_type, self._output_type, in_batches=True
        )
        name = self._name or agent_name(function)
        if signature.shape in (Shape.ITERATOR, Shape.ASYNC_ITERATOR):
            raise PipelineError(
                f"agent {name!r} yields its results; a batch agent returns a list with one result"
                " for each item"
            )
        return agent_of(
            function,
            signature,
            name,
            self._capabilities,
            blocking=self._blocking,
            batching=self._batching,
        )


@overload
def batch_agent(
    *,
    size: int,
    linger_seconds: float = DEFAULT_LINGER_SECONDS,
    name: str | None = None,
    input_type: Any = None,
    output_type: Any = None,
    capabilities: Iterable[Capability] = (),
    blocking: bool = False,
) -> BatchAgentDecorator: ...
@overload
def batch_agent(*given: Never) -> Never: ...
def batch_agent(
    *given: Any,
    size: int | None = None,
    linger_seconds: float = DEFAULT_LINGER_SECONDS,
    name: str | None = None,
    input_type: Any = None,
    output_type: Any = None,
    capabilities: Iterable[Capability] = (),
    blocking: bool = False,
) -> BatchAgentDecorator:
    """Make an agent of a function that takes several values at a time.

    ```python
    @batch_agent(size=100, linger_seconds=0.05)
    async def score(events: list[Event]) -> list[Scored | Exception]: ...
    ```

    The agent is an `Agent[Event, Scored]`, and its stage a stage like any other: each record has
    its own attempts, policy and dead letter. The function returns one result for each value, in
    their order: an output, `None` for no output, a list of several, an `Out`, or an exception, with
    which that record alone has failed. A function that is annotated to return `None` has no
    outputs. With a second parameter, a `list[Context]`, it gets the context of each value.

    When a call with several values raises, or does not return one result for each, nobody knows
    whose fault it is: each record is then tried alone, and what comes of that counts.

    Args:
        given: nothing; a function is refused, since the decorator needs a size first.
        size: most values of a call.
        linger_seconds: longest time that the first record of a batch waits for others; 0 takes what
            is there.
        name: name of the agent; by default that of the function.
        input_type: type of one of its inputs, if they are not annotated.
        output_type: type of one of its outputs, if they are not annotated.
        capabilities: kinds of work that it offers.
        blocking: whether it waits without `await`; each call then runs in a thread.

    Raises:
        PipelineError: the size is not at least 1, the linger is not from 0 to 30 seconds, or
            `batch_agent` stands without parentheses.
    """
    if given:
        told = getattr(given[0], "__name__", None) or repr(given[0])
        raise PipelineError(
            f"batch_agent was given {told}; give it the size of its batches, as in"
            " @batch_agent(size=100)"
        )
    where = "batch_agent()" if name is None else f"batch_agent(name={name!r})"
    batching = checked_batching(where, size, linger_seconds)
    return BatchAgentDecorator(
        batching, name, input_type, output_type, capabilities, blocking=blocking
    )
