"""Agents of every shape that a user may write, which do what a scenario says."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import KEEP, Out
from tests.simulation.batches import Batches
from tests.simulation.parts import Parts
from tests.simulation.workload import Agents


class Shapes:
    """Makes the agents of one pipeline.

    Args:
        agents: do the work.
    """

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    def agent_of(self, index: int) -> Agent[str, str]:
        """The agent of a stage, in the shape that was drawn."""
        draw = self._agents.scenario.stages[index]
        if draw.parts is not None:
            parts = Parts(self._agents, index, partial(self._given, index), gives_out=draw.rewrites)
            return parts.agent()
        if draw.batch is not None:
            return Batches(self._agents, index, partial(self._all_given, index)).agent()
        makers = {
            ("plain", False): self._plain,
            ("list", False): self._list,
            ("iterator", False): self._iterator,
            ("plain", True): self._async_plain,
            ("list", True): self._async_list,
            ("iterator", True): self._async_iterator,
        }
        # A plain value can be one output at most.
        shape = "list" if draw.shape == "plain" and draw.fan_out > 1 else draw.shape
        made: Agent[str, str] = makers[shape, draw.is_async](index)
        return made

    def _given(self, index: int, output: str) -> Any:
        """An output in the form in which the agent returns it."""
        draw = self._agents.scenario.stages[index]
        if not draw.rewrites:
            return output
        key = None if draw.is_keyless else KEEP
        headers = self._agents.headers_of(index, output, ()) if draw.gives_headers else KEEP
        return Out(output, key=key, headers=headers)

    def _made(self, function: Any, index: int) -> Any:
        draw = self._agents.scenario.stages[index]
        if draw.rewrites:
            given = function.__annotations__["return"]
            function.__annotations__["return"] = _OUTS[given]
        return agent(blocking=draw.is_blocking)(function)

    def _plain(self, index: int) -> Any:
        def plain(value: str, context: Context) -> str | None:
            return next(self._all_given(index, self._agents.call(index, value, context)), None)

        return self._made(plain, index)

    def _list(self, index: int) -> Any:
        def listed(value: str, context: Context) -> list[str]:
            return list(self._all_given(index, self._agents.call(index, value, context)))

        return self._made(listed, index)

    def _iterator(self, index: int) -> Any:
        def iterated(value: str, context: Context) -> Iterator[str]:
            yield from self._all_given(index, self._agents.call(index, value, context))

        return self._made(iterated, index)

    def _async_plain(self, index: int) -> Any:
        async def plain(value: str, context: Context) -> str | None:
            return next(
                self._all_given(index, await self._agents.call_async(index, value, context)), None
            )

        return self._made(plain, index)

    def _async_list(self, index: int) -> Any:
        async def listed(value: str, context: Context) -> list[str]:
            return list(
                self._all_given(index, await self._agents.call_async(index, value, context))
            )

        return self._made(listed, index)

    def _async_iterator(self, index: int) -> Any:
        async def iterated(value: str, context: Context) -> AsyncIterator[str]:
            for output in self._all_given(
                index, await self._agents.call_async(index, value, context)
            ):
                yield output

        return self._made(iterated, index)

    def _all_given(self, index: int, outputs: tuple[str, ...]) -> Iterator[Any]:
        return (self._given(index, output) for output in outputs)


_OUTS = {
    str | None: Out[str] | None,
    list[str]: list[Out[str]],
    Iterator[str]: Iterator[Out[str]],
    AsyncIterator[str]: AsyncIterator[Out[str]],
}
"""What an agent is said to give, with keys or headers of its own."""
