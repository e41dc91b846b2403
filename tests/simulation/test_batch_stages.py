"""The same scenarios with agents that take batches, faults and all; and bugs planted in batches."""

from collections.abc import Callable
from typing import Any

import pytest

from streamapp.pipeline.agent import Agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.runtime.batch_run import BatchRun
from streamapp.runtime.gathering import Gathering
from streamapp.runtime.ready import ReadyQueue
from tests.simulation.loop import EPOCH_SECONDS
from tests.simulation.shapes import Shapes
from tests.simulation.simulate import simulate

SEEDS = range(100, 140)

_as_drawn = Shapes.agent_of


def _in_batches(self: Shapes, index: int) -> Agent[str, str]:
    """The agent of a stage, which takes batches where it can.

    It works on the values of a batch one after the other. Where the seed says so, the call fails
    with the first value that does; else each value has a result of its own.
    """
    agents = self._agents
    draw, seed = agents.scenario.stages[index], agents.scenario.seed
    size = min(1 + seed % 7, draw.max_in_flight_records // 2)
    is_alone = draw.fused or draw.is_blocking or not draw.is_async or draw.parts is not None
    if is_alone or agents.scenario.blocks or not size:
        return _as_drawn(self, index)

    async def together(values: list[str], contexts: list[Context]) -> list[list[str] | Exception]:
        results: list[list[str] | Exception] = []
        for value, context in zip(values, contexts, strict=True):
            try:
                outputs = await agents.call_async(index, value, context)
            except Exception as error:
                if seed % 5 == 0:
                    raise
                results.append(error)
            else:
                results.append(list(self._all_given(index, outputs)))
        for value, result in zip(values, results, strict=True):
            if isinstance(result, Exception):  # nobody can know of it before
                agents.failed_at[index, value][-1] = EPOCH_SECONDS + agents.loop.time()
        return results

    if draw.rewrites:
        together.__annotations__["return"] = list[list[Out[str]] | Exception]
    linger_seconds = (0.0, 0.05, 0.5)[seed % 3]
    made: Agent[str, str] = batch_agent(
        size=size, linger_seconds=linger_seconds, name=f"batches-{index}"
    )(together)
    return made


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that are called, while agents take batches."""
    found: list[int] = []
    called = BatchRun._call

    async def call(self: BatchRun, lane: Any, works: Any, started: float) -> None:
        found.append(len(works))
        await called(self, lane, works, started)

    monkeypatch.setattr(BatchRun, "_call", call)
    monkeypatch.setattr(Shapes, "agent_of", _in_batches)
    return found


def complaints() -> list[str]:
    return [f"seed {seed}: {one}" for seed in SEEDS for one in simulate(seed).complaints]


def test_every_promise_holds_for_stages_that_work_on_batches(sizes: list[int]) -> None:
    assert complaints() == []
    assert sum(size > 1 for size in sizes) > 100


def _forget_what_lingers(self: Gathering, *_: Any) -> None:
    self._works = {}


def _leave_in_the_queue(_self: ReadyQueue, _known: object) -> None:
    """A record with a known result is worked on again."""


def _take_all_behind(self: Gathering, _holder: object) -> bool:
    return not self.is_full


@pytest.mark.parametrize(
    ("owner", "name", "bug"),
    [
        (Gathering, "_look", _forget_what_lingers),
        (ReadyQueue, "take_back", _leave_in_the_queue),
        (Gathering, "takes_behind", _take_all_behind),
    ],
)
@pytest.mark.usefixtures("sizes")
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, bug: Callable[..., Any]
) -> None:
    monkeypatch.setattr(owner, name, bug)
    assert any(simulate(seed).complaints for seed in SEEDS)
