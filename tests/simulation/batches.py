"""Agents that take batches, each value of which has the result that the scenario says."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from streamapp.pipeline.agent import Agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from tests.simulation.loop import EPOCH_SECONDS, PROCESS
from tests.simulation.workload import Agents


class Batches:
    """The batch agent of one stage.

    It works on the values of a batch one after the other.

    Args:
        agents: do the work.
        index: number of the stage.
        all_given: makes the outputs of a value of their texts.
    """

    def __init__(
        self, agents: Agents, index: int, all_given: Callable[[tuple[str, ...]], Iterator[Any]]
    ) -> None:
        self._agents = agents
        self._index = index
        self._all_given = all_given
        self._draw = agents.scenario.stages[index]

    def agent(self) -> Agent[str, str]:
        """The agent of the stage."""
        batch = self._draw.batch
        assert batch is not None

        async def together(
            values: list[str], contexts: list[Context]
        ) -> list[list[str] | Exception]:
            return await self._call(values, contexts)

        if self._draw.rewrites:
            together.__annotations__["return"] = list[list[Out[str]] | Exception]
        made: Agent[str, str] = batch_agent(
            size=batch.size, linger_seconds=batch.linger_seconds, name=f"batches-{self._index}"
        )(together)
        return made

    async def _call(
        self, values: list[str], contexts: list[Context]
    ) -> list[list[str] | Exception]:
        process = PROCESS.get()
        self._agents.parts_checked["batch"] += 1
        self._agents.parts_checked["in a batch with others"] += len(values) > 1
        for value in values:
            self._agents.at_work(process, (self._index, value), 1)
            self._agents.watch.attempt_began(process, self._index, value)
        error: BaseException | None = None
        try:
            return await self._results(values, contexts)
        except BaseException as raised:
            error = raised
            raise
        finally:
            for value in values:
                self._agents.at_work(process, (self._index, value), -1)
                self._agents.watch.attempt_ended(process, self._index, value, error)

    async def _results(
        self, values: list[str], contexts: list[Context]
    ) -> list[list[str] | Exception]:
        task = asyncio.current_task()
        assert self._draw.batch is not None
        assert task is not None
        cancelled = task.cancelling()
        results: list[list[str] | Exception] = []
        for value, context in zip(values, contexts, strict=True):
            try:
                outputs = await self._agents.call_async(self._index, value, context)
            except Exception as error:
                if self._draw.batch.fails_whole:
                    raise
                results.append(error)
            else:
                results.append(list(self._all_given(outputs)))
            if task.cancelling() > cancelled and len(results) < len(values):
                raise asyncio.CancelledError  # one was stubborn; those behind it do not begin
        ended_at = EPOCH_SECONDS + self._agents.loop.time()
        for i, (value, context) in enumerate(zip(values, contexts, strict=True)):
            if isinstance(results[i], Exception):  # nobody can know of it before
                self._agents.failed_at[self._index, value][-1] = ended_at
            elif failure := self._agents.error_at_end(self._index, value, context):
                results[i] = failure
        return results
