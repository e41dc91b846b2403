"""Keeps a number of workers running until they are stopped, finished or beyond mending."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from streamapp.clock import Clock, SystemClock
from streamapp.supervisor.process import WorkerProcess
from streamapp.supervisor.restarts import Again, GiveUp, RestartPolicy, Restarts, how_it_ended
from streamapp.supervisor.slot import Slot, SlotState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run of workers ended.

    Attributes:
        exit_code: 0 when every worker ended well, else the code that counts: of the worker that
            was beyond mending, or of the first that did not drain; negative for a signal.
        overdue: whether a worker had to be killed because it did not drain.
    """

    exit_code: int
    overdue: bool = False


class Supervisor:
    """Starts workers, starts them again, and ends them together.

    The first worker goes ahead: what is wrong with the declaration or the connection is then told
    once, and not by all of them.

    Args:
        start: starts the worker of this number.
        count: how many.
        policy: when a worker is started again.
        drain_seconds: how long a worker may take to end when asked; then it is killed.
        clock: time.
        rng: jitter.

    Attributes:
        slots: the workers.
    """

    def __init__(
        self,
        start: Callable[[int], Awaitable[WorkerProcess]],
        count: int,
        *,
        policy: RestartPolicy,
        drain_seconds: float,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self.slots: Sequence[Slot] = [Slot(n, Restarts(policy, rng)) for n in range(count)]
        self._start = start
        self._policy = policy
        self._drain_seconds = drain_seconds
        self._clock = clock or SystemClock()
        self._stopping = asyncio.Event()
        self._first_is_up_or_over = asyncio.Event()
        self._any_was_up = False
        self._given_up: int | None = None
        self._codes_when_asked: list[int] = []
        self._overdue = False

    def stop(self) -> None:
        """Drain all workers side by side and end; may be called more than once."""
        self._stopping.set()

    def kill(self) -> None:
        """End all workers at once; what they have not committed is delivered again."""
        self._stopping.set()
        for slot in self.slots:
            if slot.process is not None:
                slot.process.kill()

    async def run(self) -> Ending:
        """Keep the workers running until all have ended."""
        first, *others = self.slots
        async with asyncio.TaskGroup() as group:
            ahead = group.create_task(self._keep(first))
            ahead.add_done_callback(lambda _: self._first_is_up_or_over.set())
            await self._first_is_up_or_over.wait()
            for slot in others:
                group.create_task(self._keep(slot))
        if self._given_up is not None:
            return Ending(self._given_up)
        bad = [code for code in self._codes_when_asked if code]
        return Ending(bad[0] if bad else 0, overdue=self._overdue)

    async def _keep(self, slot: Slot) -> None:
        """Run one worker, again and again."""
        while not self._stopping.is_set():
            process = await self._start(slot.number)
            began_at = self._clock.monotonic()
            slot.began(process, began_at)
            exit_code = await self._attend(slot, process)
            now = self._clock.monotonic()
            slot.ended(exit_code, now)
            if self._stopping.is_set():
                self._codes_when_asked.append(exit_code)
                return
            follows = slot.restarts.after(
                exit_code, ran_seconds=now - began_at, any_was_up=self._any_was_up
            )
            how = how_it_ended(exit_code, self._policy.hopeless)
            if isinstance(follows, Again):
                log.warning(
                    "worker %d %s, starts again in %.1f s", slot.number, how, follows.delay_seconds
                )
                slot.waits(now + follows.delay_seconds)
                await self._wait(follows.delay_seconds)
                slot.state = SlotState.ENDED
            elif isinstance(follows, GiveUp):
                log.error(
                    "worker %d %s; starting it again would not mend that, so all end",
                    slot.number,
                    how,
                )
                self._given_up = follows.exit_code
                self._stopping.set()
            else:
                log.info("worker %d is at the end", slot.number)
                return

    async def _attend(self, slot: Slot, process: WorkerProcess) -> int:
        """Be there for a process until it has ended; its exit code."""
        try:
            async with asyncio.TaskGroup() as group:
                watches = (
                    group.create_task(self._note_up(slot, process)),
                    group.create_task(self._pass_on_stop(slot, process)),
                )
                exit_code = await process.ended()
                for watch in watches:
                    watch.cancel()
        except BaseException:
            process.kill()
            raise
        return exit_code

    async def _note_up(self, slot: Slot, process: WorkerProcess) -> None:
        try:
            web_port = await process.up()
        except EOFError:
            return
        slot.is_up(web_port, self._clock.monotonic())
        self._any_was_up = True
        self._first_is_up_or_over.set()
        log.info("worker %d is up, process %d", slot.number, process.pid)

    async def _pass_on_stop(self, slot: Slot, process: WorkerProcess) -> None:
        await self._stopping.wait()
        process.drain()
        await self._clock.sleep(self._drain_seconds)
        log.error("worker %d did not end in %.0f s and is killed", slot.number, self._drain_seconds)
        self._overdue = True
        process.kill()

    async def _wait(self, seconds: float) -> None:
        """Wait so long, or until all are to stop."""
        stop = asyncio.create_task(self._stopping.wait())
        sleep = asyncio.create_task(self._sleep(seconds))
        try:
            await asyncio.wait({stop, sleep}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stop, sleep):
                task.cancel()

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
