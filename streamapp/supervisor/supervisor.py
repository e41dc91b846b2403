"""Keeps workers running until they are stopped, have finished, or cannot be restarted."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from streamapp.clock import Clock, SystemClock
from streamapp.supervisor.process import WorkerProcess
from streamapp.supervisor.restarts import GiveUp, Restart, RestartPolicy, Restarts, how_it_ended
from streamapp.supervisor.slot import Slot, SlotState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run of workers ended.

    Attributes:
        exit_code: 0 if every worker ended with 0. Else the code of the worker that cannot be
            restarted, or of the first that failed to drain; negative for a signal.
        overdue: whether a worker was killed because it did not drain in time.
    """

    exit_code: int
    overdue: bool = False


class Supervisor:
    """Starts workers, restarts them, and ends them together.

    The first worker is started alone, so that a fault in the declaration or the connection is
    reported once and not by every worker. The others follow when it is up, or was killed because it
    did not get up.

    Args:
        start: starts the worker with the given number.
        count: number of workers.
        policy: when a worker is started again.
        drain_seconds: a worker that has not ended this long after a drain request is killed.
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
        self._first_is_up_or_ended = asyncio.Event()
        self._any_was_up = False
        self._given_up: int | None = None
        self._codes_after_stop: list[int] = []
        self._overdue = False

    def stop(self) -> None:
        """Drain all workers at once and end; may be called more than once."""
        self._stopping.set()

    def kill(self) -> None:
        """Kill all workers; what they have not committed is read again."""
        self._stopping.set()
        for slot in self.slots:
            if slot.process is not None:
                slot.process.kill()

    async def run(self) -> Ending:
        """Keep the workers running until all have ended."""
        first, *others = self.slots
        async with asyncio.TaskGroup() as group:
            ahead = group.create_task(self._keep_running(first))
            ahead.add_done_callback(lambda _: self._first_is_up_or_ended.set())
            await self._first_is_up_or_ended.wait()
            for slot in others:
                group.create_task(self._keep_running(slot))
        if self._given_up is not None:
            return Ending(self._given_up)
        bad = [code for code in self._codes_after_stop if code]
        return Ending(bad[0] if bad else 0, overdue=self._overdue)

    async def _keep_running(self, slot: Slot) -> None:
        """Run one worker and restart it until it has ended for good."""
        while not self._stopping.is_set():
            exit_code = await self._run_process(slot)
            now = self._clock.monotonic()
            # One that was never up has failed at once, however long it took.
            ran_seconds = now - slot.since if slot.state is SlotState.UP else 0.0
            slot.set_ended(exit_code, now)
            if self._stopping.is_set():
                self._codes_after_stop.append(exit_code)
                return
            decision = slot.restarts.decide(
                exit_code, ran_seconds=ran_seconds, any_was_up=self._any_was_up
            )
            how = how_it_ended(exit_code, self._policy.not_restarted)
            if isinstance(decision, Restart):
                log.warning(
                    "worker %d %s, starts again in %.1f s", slot.number, how, decision.delay_seconds
                )
                slot.set_waiting(now + decision.delay_seconds)
                await self._wait(decision.delay_seconds)
                slot.state = SlotState.ENDED
            elif isinstance(decision, GiveUp):
                is_known = exit_code in self._policy.not_restarted
                why = "a restart would fail again" if is_known else "no worker has been up yet"
                log.error("worker %d %s; %s, so all workers are stopped", slot.number, how, why)
                self._given_up = decision.exit_code
                self._stopping.set()
            else:
                log.info("worker %d has reached the end", slot.number)
                return

    async def _run_process(self, slot: Slot) -> int:
        """Run one process and return its exit code; 1 if the system starts none."""
        try:
            process = await self._start(slot.number)
        except OSError as error:  # too many processes or files, or too little memory
            log.warning("worker %d cannot be started: %s", slot.number, error.strerror or error)
            return 1
        slot.set_starting(process, self._clock.monotonic())
        return await self._watch_process(slot, process)

    async def _watch_process(self, slot: Slot, process: WorkerProcess) -> int:
        """Wait for the end of a process and return its exit code."""
        try:
            async with asyncio.TaskGroup() as group:
                watches = (
                    group.create_task(self._note_up(slot, process)),
                    group.create_task(self._pass_on_stop(slot, process)),
                    group.create_task(self._replace_silent(slot, process)),
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
        slot.set_up(web_port, self._clock.monotonic())
        self._any_was_up = True
        self._first_is_up_or_ended.set()
        log.info("worker %d is up, process %d", slot.number, process.pid)
        with suppress(EOFError):
            while True:
                await process.beat()
                slot.heard_at = self._clock.monotonic()

    async def _replace_silent(self, slot: Slot, process: WorkerProcess) -> None:
        """Tell of a worker that does not get up, or shows no life; kill it if that lasts."""
        silent_seconds, was_slow = self._policy.silent_seconds, False
        while True:
            asked_at = self._clock.monotonic()
            await self._clock.sleep(silent_seconds / 4)
            if self._clock.monotonic() - asked_at >= silent_seconds:
                # This process stood still itself: what workers have sent meanwhile is not read yet.
                slot.heard_at = self._clock.monotonic()
                continue
            if slot.state is SlotState.STARTING and self._hangs(slot, was_slow=was_slow):
                process.kill()
            if slot.state is SlotState.UP and self._is_silent_too_long(slot, process):
                process.kill()
            was_slow = slot.starts_slowly(self._clock.monotonic())

    def _hangs(self, slot: Slot, *, was_slow: bool) -> bool:
        """Whether a worker must be killed because it does not get up; tells of it before."""
        now, bound = self._clock.monotonic(), self._policy.start_seconds
        seconds = now - slot.since
        if seconds < bound:
            if slot.starts_slowly(now) and not was_slow:
                log.warning(
                    "worker %d is not up %.0f s after its start; it is replaced after %.0f s",
                    slot.number,
                    seconds,
                    bound,
                )
            return False
        log.error("worker %d is killed: it was not up %.0f s after its start", slot.number, seconds)
        self._first_is_up_or_ended.set()  # whatever holds it up may not hold up the others
        return True

    def _is_silent_too_long(self, slot: Slot, process: WorkerProcess) -> bool:
        """Whether a worker must be killed because it shows no life; tells of it before."""
        policy, seconds = self._policy, self._clock.monotonic() - slot.heard_at
        was_silent, slot.is_silent = slot.is_silent, seconds >= policy.silent_seconds
        if slot.is_silent and not was_silent:
            log.warning(
                "worker %d, process %d, has shown no sign of life for %.0f s: it is frozen, or"
                " an agent blocks its event loop; it is replaced after %.0f s",
                slot.number,
                process.pid,
                seconds,
                policy.replaced_seconds,
            )
        elif was_silent and not slot.is_silent:
            log.info("worker %d shows signs of life again", slot.number)
        if seconds >= policy.replaced_seconds:
            log.error("worker %d is killed after %.0f s without a sign", slot.number, seconds)
            return True
        return False

    async def _pass_on_stop(self, slot: Slot, process: WorkerProcess) -> None:
        await self._stopping.wait()
        process.drain()
        await self._clock.sleep(self._drain_seconds)
        log.error(
            "worker %d did not end within %.0f s and is killed", slot.number, self._drain_seconds
        )
        self._overdue = True
        process.kill()

    async def _wait(self, seconds: float) -> None:
        """Wait for this time, or until the supervisor stops."""
        stop = asyncio.create_task(self._stopping.wait())
        sleep = asyncio.create_task(self._sleep(seconds))
        try:
            await asyncio.wait({stop, sleep}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stop, sleep):
                task.cancel()

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
