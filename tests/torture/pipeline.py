"""The pipeline under test: one stage that waits a little and passes its record on.

`streamapp run tests.torture.pipeline:pipeline` runs it under the name in `TORTURE_NAME`.
"""

import asyncio
import os
from typing import Any

from pydantic import BaseModel

from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import Ordering
from streamapp.topics.topic import Topic

NAME_VARIABLE = "TORTURE_NAME"
WAIT_VARIABLE = "TORTURE_WAIT_MS"
ORDERING_VARIABLE = "TORTURE_ORDERING"

STAGE = "work"


class Item(BaseModel):
    """A record of the feeder."""

    id: int


class Done(BaseModel):
    """The same record after the stage, with the id of the process."""

    id: int
    pid: int


@agent
async def work(item: Item) -> Done:
    """Wait for 0.5 to 1.5 of `TORTURE_WAIT_MS`, so that records overtake their neighbours."""
    wait_seconds = float(os.environ.get(WAIT_VARIABLE, "5")) / 1000
    await asyncio.sleep(wait_seconds * (0.5 + (item.id * 7919 % 101) / 100))
    return Done(id=item.id, pid=os.getpid())


def pipeline() -> Pipeline[Any, Any]:
    """The pipeline, under the name that is in the environment."""
    name = os.environ[NAME_VARIABLE]
    ordering = Ordering(os.environ.get(ORDERING_VARIABLE, "key"))
    return (
        Pipeline(name, source=Topic(f"{name}.in", Item))
        .stage(work, concurrency=64, ordering=ordering)
        .sink(f"{name}.out")
    )
