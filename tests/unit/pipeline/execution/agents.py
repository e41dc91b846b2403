"""Pipelines in process, in virtual time."""

import random
from typing import Any

from pydantic import BaseModel

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.execution.executor import Executor
from streamapp.pipeline.pipeline import Pipeline
from streamapp.topics.topic import Topic
from tests.simulation.loop import VirtualClock
from tests.unit.runtime.virtual import Longest, loop


class Item(BaseModel):
    n: int = 0
    tags: list[str] = []


def pipeline(*agents: Agent[Any, Any], **settings: Any) -> Pipeline[Any, Any]:
    """These agents as stages, each with these settings."""
    made: Pipeline[Any, Any] = Pipeline("p", source=Topic("in", Item))
    for one in agents:
        made = made.stage(one, **settings)
    return made


def executor(of: Pipeline[Any, Any], rng: random.Random | None = None) -> Executor[Any, Any]:
    """An executor on the clock of the virtual loop, whose waits are as long as they can be."""
    return of.executor(clock=VirtualClock(loop()), rng=rng or Longest())


def tagging(name: str) -> Agent[Item, Item]:
    """An agent that adds its name to the tags, in place."""

    def tag(item: Item) -> Item:
        item.tags.append(name)
        return item

    return agent(name=name)(tag)


def failing(name: str, error: BaseException, times: int = 10**9) -> Agent[Item, Item]:
    """An agent that spoils its input and fails, so many times; then it tags."""
    left = [times]

    def fail(item: Item) -> Item:
        item.tags.append(name)
        if left[0] > 0:
            left[0] -= 1
            raise error
        return item

    return agent(name=name)(fail)
