"""Calls an agent that works on batches, for several values or for one.

The same code for every way to run a stage, as `AgentCall`, which has one of these for such an
agent.
"""

from collections.abc import Awaitable, Callable, Sequence
from types import NoneType
from typing import Any, TypeAlias

from streamapp.errors import EncodeError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.context import Context
from streamapp.policies.gravest import NOT_OF_THE_AGENT, as_failure

Many: TypeAlias = Callable[[list[Any], list[Context]], Awaitable[list[Any]]]
"""Calls the agent with values and, for those who ask, their contexts.

It gives the result of each value: what the agent gave for it, an exception with which it alone has
failed, or a `FailedCall`.
"""


class FailedCall:
    """The result of each value of a call that failed as a whole.

    Attributes:
        error: what the call raised, or what is wrong with what it returned.
        count: how many values it had; with more than one, nobody knows whose fault it is.
    """

    __slots__ = ("count", "error")

    def __init__(self, error: Exception, count: int) -> None:
        self.error = error
        self.count = count


class BatchCall:
    """A batch agent, ready to be called.

    Attributes:
        one: calls it with one value, and its context if it takes one; async if the agent is. It
            raises the exception that the agent raises or returns.

    Args:
        agent: the agent.
        function: calls it; in a thread, if it is blocking.
        stage_id: name of the stage, for errors.
    """

    def __init__(self, agent: Agent[Any, Any], function: Callable[..., Any], stage_id: str) -> None:
        self._function = function
        self._is_async = agent.is_async
        self._takes_contexts = agent.takes_context
        self._has_outputs = agent.output_type is not NoneType
        self._stage_id = stage_id
        self.one: Callable[..., Any] = self._one_awaited if agent.is_async else self._one

    async def many(self, values: list[Any], contexts: list[Context]) -> list[Any]:
        """Call the agent with these values; see `Many`.

        Raises:
            asyncio.CancelledError: it was cancelled, or cancels itself.
        """
        count = len(values)
        try:
            called = self._call(values, contexts)
            return self._checked(await called if self._is_async else called, count)
        except Exception as raised:  # noqa: BLE001 - an agent may raise anything
            return [FailedCall(as_failure(raised), count)] * count

    def _call(self, values: list[Any], contexts: Sequence[Context]) -> Any:
        if self._takes_contexts:
            return self._function(values, contexts)
        return self._function(values)

    def _one(self, value: Any, *context: Context) -> Any:
        return result_of_item(self._checked(self._call([value], list(context)), 1)[0])

    async def _one_awaited(self, value: Any, *context: Context) -> Any:
        called = await self._call([value], list(context))
        return result_of_item(self._checked(called, 1)[0])

    def _checked(self, results: Any, count: int) -> list[Any]:
        """Require one result for each value.

        Raises:
            EncodeError: they are no list, or more or fewer.
        """
        if results is None and not self._has_outputs:
            return [None] * count
        if not isinstance(results, list | tuple):
            raise EncodeError(
                f"stage {self._stage_id!r} gave a value of type {type(results).__name__} for a"
                " batch; return a list with one result for each item"
            )
        if len(results) != count:
            raise EncodeError(
                f"stage {self._stage_id!r} gave {len(results)} results for a batch of {count};"
                " return one for each item, in their order, and None for no output"
            )
        return list(results)


def result_of_item(result: Any) -> Any:
    """The result of one value, as a call with it alone gives it.

    Raises:
        BaseException: the value has failed with it.
    """
    if isinstance(result, FailedCall):
        raise result.error
    if isinstance(result, BaseException):
        raise result if not isinstance(result, NOT_OF_THE_AGENT) else as_failure(result)
    return result
