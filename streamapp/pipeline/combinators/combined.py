"""Makes one agent of several.

Each combinator is written once, with `await`. If none of its parts is async it never waits, so it
is run like a plain function, and its stage keeps the fast path of plain agents.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any

from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.types import all_capabilities
from streamapp.pipeline.signature import Results, Shape


def combined(
    kind: str,
    name: str,
    agents: tuple[Agent[Any, Any], ...],
    run: Callable[..., Any],
    *,
    input_type: Any,
    output_type: Any,
    results: Results,
    yields: bool = False,
    waits: bool = False,
    takes_context: bool = False,
) -> Agent[Any, Any]:
    """Make an agent whose work is a coroutine function, or an async generator function.

    Args:
        kind: name of the combinator.
        name: name of the agent.
        agents: its parts; it is async, and takes a context, if one of them is or does.
        run: its work, called with a value and, if the agent takes one, a context.
        input_type: type of its inputs.
        output_type: type of its outputs.
        results: what a call may give.
        yields: whether the work is a generator.
        waits: whether it waits although no part does.
        takes_context: whether it takes a context although no part does.
    """
    is_async = waits or any(agent.is_async for agent in agents)
    if yields:
        shape = Shape.ASYNC_ITERATOR if is_async else Shape.ITERATOR
    else:
        shape = Shape.ASYNC if is_async else Shape.PLAIN
    as_plain = _as_iterator if yields else _as_function
    return Agent(
        name=name,
        function=run if is_async else as_plain(run),
        shape=shape,
        takes_context=takes_context or any(agent.takes_context for agent in agents),
        input_type=input_type,
        output_type=output_type,
        capabilities=all_capabilities(agents),
        kind=kind,
        parts=agents,
        results=results,
    )


def _as_function(run: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    return lambda *args: _without_waiting(run(*args))


def _as_iterator(run: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., Iterator[Any]]:
    def plain(*args: Any) -> Iterator[Any]:
        outputs = run(*args)
        try:
            while True:
                try:
                    one = _without_waiting(outputs.__anext__())
                except StopAsyncIteration:
                    return
                yield one
        finally:
            _without_waiting(outputs.aclose())

    return plain


def _without_waiting(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    coroutine.close()
    raise RuntimeError("an agent that is declared as plain has waited")
