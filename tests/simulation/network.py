"""The connection between a process and the broker: it takes time, and can be cut."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from streamapp.errors import BrokerError
from tests.simulation.dice import Dice
from tests.simulation.loop import VirtualLoop

HALF = 0.5


class World:
    """What all processes of a run share.

    Attributes:
        loop: runs everything.
        dice: decides which faults happen.
        outside: context of the broker; a frozen process does not hold up what runs in it.
        latency_seconds: longest time that a request takes without a fault.
        down_until: until then, the broker answers nobody.
        letters_refused_until: until then, dead-letter topics refuse all records.
        commits_refused_until: until then, groups refuse all commits.
    """

    def __init__(
        self, loop: VirtualLoop, dice: Dice, outside: Context, latency_seconds: float
    ) -> None:
        self.loop = loop
        self.dice = dice
        self.outside = outside
        self.latency_seconds = latency_seconds
        self.down_until = 0.0
        self.letters_refused_until = 0.0
        self.commits_refused_until = 0.0

    @property
    def is_down(self) -> bool:
        return self.loop.time() < self.down_until

    def later(self, seconds: float, happens: Callable[..., object], *args: Any) -> None:
        """Run this on the broker's side, after the time that a request takes."""
        self.loop.call_later(seconds, happens, *args, context=self.outside)


class Line:
    """The connections of one process.

    Attributes:
        is_cut: whether the process has crashed; then nothing of it reaches the broker any more.
        is_mute: whether its heartbeats are lost.
    """

    def __init__(self, world: World, process: str) -> None:
        self.world = world
        self.process = process
        self.is_cut = False
        self.muted_until = 0.0

    @property
    def is_mute(self) -> bool:
        return self.world.loop.time() < self.muted_until

    async def pass_over(self) -> None:
        """Wait for the time that a request takes.

        Raises:
            BrokerError: the broker is down, or this process has ended.
        """
        latency = self.world.latency_seconds
        await asyncio.sleep(self.world.dice.seconds(latency))
        if self.is_cut or self.world.is_down:
            raise BrokerError("the broker does not answer")


class Wire:
    """Requests of one connection: they arrive in order, or, from some moment on, not at all."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._last_at = 0.0
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_torn = False

    def send(self, happens: Callable[..., object], *args: Any, delay: float = 0.0) -> None:
        """Have the broker run this when the request has arrived."""
        world = self._line.world
        arrives_at = world.loop.time() + world.dice.seconds(world.latency_seconds) + delay
        self._last_at = max(self._last_at, arrives_at)
        self._waiting.append((happens, args))
        world.loop.call_at(self._last_at, self._arrive, context=world.outside)

    def _arrive(self) -> None:
        world = self._line.world
        if self._line.is_cut and not self._is_torn:
            self._is_torn = world.dice.seconds(1.0) < HALF  # the rest was still in the process
        if world.is_down:
            self._last_at = max(self._last_at, world.down_until)
            world.loop.call_at(world.down_until, self._arrive, context=world.outside)
            return
        happens, args = self._waiting.popleft()
        if not self._is_torn:
            happens(*args)
