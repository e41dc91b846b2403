"""Agents that take batches, and note their calls, for the tests of them."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from streamapp.pipeline.agent import Agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.policies.backoff import Backoff
from streamapp.service import Service
from tests.unit.runtime import faults
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import loop

LATER = Backoff(base_seconds=10, max_seconds=10)
FOR_EVER = 30.0
until = partial(faults.until, seconds=3600)
"""Waits of virtual time, in which a linger may pass."""
Answer = Callable[[bytes], Any]


class Calls:
    """What a batch agent was called with, and when."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self._at_once = 0

    def agent(
        self,
        size: int,
        linger_seconds: float = FOR_EVER,
        *,
        seconds: float = 0.0,
        answer: Answer = bytes,
        fail: Callable[[list[bytes]], Exception | None] = lambda _values: None,
    ) -> Agent[bytes, bytes]:
        """An agent that takes so long, may fail, and else gives the answer to each value."""

        @batch_agent(size=size, linger_seconds=linger_seconds)
        async def called(values: list[bytes]) -> list[bytes | Exception | None]:
            self.batches.append(values)
            self.times.append(round(loop().time(), 3))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                await asyncio.sleep(seconds)
                if (error := fail(values)) is not None:
                    raise error
                return [answer(value) for value in values]
            finally:
                self._at_once -= 1

        return called


def numbered(*numbers: int, keys: int = 1000) -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % (n % keys), b"%d" % n) for n in numbers]


def written(broker: FaultyBroker) -> list[bytes]:
    """Values of the outputs, sorted."""
    return sorted(value or b"" for value in broker.values("p-out"))


async def run_to_end(stage: Service) -> None:
    async with asyncio.timeout(3600):
        await stage.run(until_end=True)
