"""The supervisor with workers that do what the test says."""

import asyncio
import errno
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from streamapp.supervisor.restarts import RestartPolicy
from streamapp.supervisor.slot import SlotState
from streamapp.supervisor.supervisor import Ending, Supervisor
from tests.hand_clock import HandClock
from tests.patience import eventually, within

STOPPED = 5
DRAIN_SECONDS = 30.0
LOOK_SECONDS = RestartPolicy().silent_seconds / 4


class Puppet:
    """A worker of the test's own."""

    def __init__(self, number: int, pid: int) -> None:
        self.number = number
        self.pid = pid
        self.drains = 0
        self.beats: asyncio.Queue[int | None] = asyncio.Queue()
        self._up: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def get_up(self, web_port: int | None = 1) -> None:
        self._up.set_result(web_port)

    def end(self, exit_code: int) -> None:
        if not self._up.done():
            self._up.set_exception(EOFError())
        self._end.set_result(exit_code)

    @property
    def running(self) -> bool:
        return not self._end.done()

    async def up(self) -> int | None:
        return await self._up

    def drain(self) -> None:
        self.drains += 1

    def kill(self) -> None:
        if self.running:
            self.end(-9)

    async def beat(self) -> None:
        if await self.beats.get() is None:
            raise EOFError

    async def ended(self) -> int:
        return await self._end


class Slow(HandClock):
    """Sleeps end when the test says so, not at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps: list[tuple[float, asyncio.Future[None]]] = []
        self.looks: list[asyncio.Future[None]] = []

    async def sleep(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if seconds == LOOK_SECONDS:  # between two looks for signs of life
            self.looks.append(over)
            await over
            return
        self.sleeps.append((seconds, over))
        await over
        self.advance(seconds)

    async def look_after(self, seconds: float) -> None:
        """Let so much time pass, and then look for signs of life."""
        self.advance(seconds)
        for over in self.looks:
            if not over.done():
                over.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)

    def pending(self) -> list[float]:
        return [seconds for seconds, over in self.sleeps if not over.done()]

    def wake(self) -> None:
        for _, over in self.sleeps:
            if not over.done():
                over.set_result(None)


class Longest(random.Random):
    """Draws the upper end of every wait, so that waits can be told."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 - signature of the base's
        return b


class Stage:
    """A supervisor, its puppets and its clock."""

    def __init__(self, count: int, *, ends_by_itself: bool = False) -> None:
        self.clock = Slow()
        self.started: list[Puppet] = []
        self.refusals = 0
        policy = RestartPolicy({STOPPED: "STAGE_STOPPED"}, ends_by_itself=ends_by_itself)
        self.supervisor = Supervisor(
            self._start,
            count,
            policy=policy,
            drain_seconds=DRAIN_SECONDS,
            clock=self.clock,
            rng=Longest(),
        )
        self.ending: asyncio.Task[Ending]

    async def _start(self, number: int) -> Puppet:
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        self.started.append(Puppet(number, 100 + len(self.started)))
        return self.started[-1]

    async def until(self, holds: Callable[[], bool]) -> None:
        await eventually(holds, seconds=10, pause_seconds=0)

    async def all_up(self) -> None:
        for n in range(len(self.supervisor.slots)):
            await self.until(lambda n=n: len(self.started) > n)  # type: ignore[misc]  # bound now
            self.started[n].get_up()
        await self.until(lambda: all(s.state is SlotState.UP for s in self.supervisor.slots))


@asynccontextmanager
async def staged(count: int, *, ends_by_itself: bool = False) -> AsyncIterator[Stage]:
    stage = Stage(count, ends_by_itself=ends_by_itself)
    stage.ending = asyncio.create_task(stage.supervisor.run())
    try:
        yield stage
        async with within(10, "the supervisor to end"):
            await stage.ending
    finally:
        stage.ending.cancel()


@pytest.mark.parametrize(
    ("code", "why"), [(3, "no worker has been up yet"), (STOPPED, "a restart would fail again")]
)
async def test_the_first_goes_ahead_and_what_is_wrong_is_told_once(
    caplog: pytest.LogCaptureFixture, code: int, why: str
) -> None:
    async with staged(3) as stage:
        await stage.until(lambda: len(stage.started) == 1)
        stage.started[0].end(code)
        assert await stage.ending == Ending(code)
    assert len(stage.started) == 1
    assert why in caplog.text


async def test_the_others_follow_when_it_is_up() -> None:
    async with staged(3) as stage:
        await stage.all_up()
        assert [worker.number for worker in stage.started] == [0, 1, 2]
        stage.supervisor.stop()
        await stage.until(lambda: all(worker.drains for worker in stage.started))
        assert all(worker.running for worker in stage.started)  # side by side
        for worker in stage.started:
            worker.end(0)
    assert stage.ending.result() == Ending(0)


async def test_one_that_is_killed_starts_again_under_its_number_after_a_wait() -> None:
    async with staged(2) as stage:
        await stage.all_up()
        stage.started[1].end(-9)
        slot = stage.supervisor.slots[1]
        await stage.until(lambda: slot.state is SlotState.WAITING)
        health = slot.health(stage.clock.monotonic())
        assert not health.ok
        assert health.reason.startswith("was killed by SIGKILL, starts again in")
        assert len(stage.started) == 2
        await stage.until(lambda: bool(stage.clock.pending()))
        stage.clock.wake()
        await stage.until(lambda: len(stage.started) == 3)
        assert stage.started[2].number == 1
        assert stage.started[0].running
        stage.started[2].get_up(7)
        await stage.until(lambda: slot.web_port == 7)
        assert slot.restarts.count == 1
        stage.supervisor.stop()
        stage.started[0].end(0)
        stage.started[2].end(0)
    assert stage.ending.result() == Ending(0)


async def test_one_beyond_mending_ends_all_in_good_order_with_its_code() -> None:
    async with staged(2) as stage:
        await stage.all_up()
        stage.started[0].end(STOPPED)
        await stage.until(lambda: stage.started[1].drains == 1)
        stage.started[1].end(0)
        assert await stage.ending == Ending(STOPPED)
    assert len(stage.started) == 2


async def test_one_that_does_not_drain_is_killed_in_the_end() -> None:
    async with staged(2) as stage:
        await stage.all_up()
        stage.supervisor.stop()
        await stage.until(lambda: stage.clock.pending() == [DRAIN_SECONDS, DRAIN_SECONDS])
        stage.started[0].end(0)
        await stage.until(lambda: stage.supervisor.slots[0].process is None)
        stage.clock.wake()
        assert await stage.ending == Ending(-9, overdue=True)


async def test_a_stop_does_not_wait_for_one_that_waits_for_its_start() -> None:
    async with staged(2) as stage:
        await stage.all_up()
        stage.started[1].end(-9)
        await stage.until(lambda: bool(stage.clock.pending()))
        stage.supervisor.stop()
        stage.started[0].end(0)
        assert await stage.ending == Ending(0)
    assert len(stage.started) == 2


async def test_bounded_work_ends_when_all_are_at_the_end() -> None:
    async with staged(2, ends_by_itself=True) as stage:
        await stage.all_up()
        stage.started[0].end(0)
        await stage.until(lambda: stage.supervisor.slots[0].state is SlotState.ENDED)
        assert not stage.started[1].drains
        stage.started[1].end(0)
        assert await stage.ending == Ending(0)


async def test_a_kill_ends_all_at_once() -> None:
    async with staged(2) as stage:
        await stage.all_up()
        stage.supervisor.kill()
        assert await stage.ending == Ending(-9)


async def wait_after(stage: Stage, ran_seconds: float) -> float:
    """Let the only worker run so long and be killed; how long its next start waits."""
    worker = stage.started[-1]
    worker.get_up()
    await stage.until(lambda: stage.supervisor.slots[0].state is SlotState.UP)
    stage.clock.advance(ran_seconds)
    worker.end(-9)
    await stage.until(lambda: bool(stage.clock.pending()))
    [seconds] = stage.clock.pending()
    stage.clock.wake()
    await stage.until(lambda: stage.started[-1] is not worker)
    return seconds


async def test_a_worker_that_dies_at_once_waits_longer_and_one_that_ran_for_days_does_not() -> None:
    async with staged(1) as stage:
        await stage.until(lambda: len(stage.started) == 1)
        assert [await wait_after(stage, 0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
        assert await wait_after(stage, 3 * 86_400) == 0.5
        assert [await wait_after(stage, 1) for _ in range(2)] == [1, 2]
        assert await wait_after(stage, 3 * 86_400) == 0.5
        assert await wait_after(stage, 3 * 86_400) == 0.5
        stage.supervisor.stop()
        stage.started[-1].end(0)


async def test_the_restarts_of_one_worker_do_not_hold_up_those_of_another() -> None:
    async with staged(2) as stage:
        await stage.all_up()
        for _ in range(3):
            worker = next(w for w in reversed(stage.started) if w.number == 1)
            worker.end(-9)
            await stage.until(lambda: bool(stage.clock.pending()))
            stage.clock.wake()
            await stage.until(lambda worker=worker: stage.started[-1] is not worker)  # type: ignore[misc]  # bound now
        stage.started[0].end(-9)
        await stage.until(lambda: bool(stage.clock.pending()))
        assert stage.clock.pending() == [0.5]
        stage.clock.wake()
        await stage.until(lambda: stage.started[-1].number == 0)
        assert [slot.restarts.count for slot in stage.supervisor.slots] == [1, 3]
        stage.supervisor.stop()
        for worker in stage.started:
            if worker.running:
                worker.end(0)


async def test_the_code_of_the_first_that_did_not_end_well_counts() -> None:
    async with staged(3) as stage:
        await stage.all_up()
        stage.supervisor.stop()
        await stage.until(lambda: all(worker.drains for worker in stage.started))
        for worker, code in zip(stage.started, (0, 6, 7), strict=True):
            worker.end(code)
            await stage.until(lambda n=worker.number: stage.supervisor.slots[n].process is None)  # type: ignore[misc]  # bound now
        assert await stage.ending == Ending(6)


async def test_a_worker_that_fails_after_one_was_up_starts_again() -> None:
    async with staged(1) as stage:
        await stage.until(lambda: len(stage.started) == 1)
        stage.started[0].get_up()
        await stage.until(lambda: stage.supervisor.slots[0].state is SlotState.UP)
        stage.started[0].end(1)
        await stage.until(lambda: bool(stage.clock.pending()))
        slot = stage.supervisor.slots[0]
        assert slot.restart_at == stage.clock.monotonic() + stage.clock.pending()[0]
        stage.supervisor.stop()
    assert stage.ending.result() == Ending(0)
    assert slot.state is SlotState.ENDED


async def test_a_supervisor_that_is_cancelled_kills_its_workers() -> None:
    stage = Stage(1)
    stage.ending = asyncio.create_task(stage.supervisor.run())
    await stage.until(lambda: len(stage.started) == 1)
    stage.ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stage.ending
    assert not stage.started[0].running


async def test_nothing_goes_on_when_a_stop_has_cut_a_wait_short() -> None:
    async with staged(1) as stage:
        await stage.all_up()
        stage.started[0].end(-9)
        await stage.until(lambda: bool(stage.clock.pending()))
        stage.supervisor.stop()
        await stage.ending
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_restarts_and_kills_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with staged(1) as stage:
        await stage.all_up()
        stage.started[0].end(-9)
        await stage.until(lambda: bool(stage.clock.pending()))
        assert "worker 0 was killed by SIGKILL" in caplog.text
        stage.clock.wake()
        await stage.until(lambda: len(stage.started) == 2)
        caplog.clear()
        stage.supervisor.stop()
        await stage.until(lambda: bool(stage.clock.pending()))
        stage.clock.wake()
        await stage.ending
        assert "worker 0 did not end" in caplog.text


async def test_what_a_restart_would_not_mend_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with staged(1) as stage:
        await stage.all_up()
        stage.started[0].end(STOPPED)
        await stage.ending
    assert "worker 0 ended with exit code 5 (STAGE_STOPPED)" in caplog.text


async def test_a_worker_without_signs_of_life_is_told_and_then_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with staged(2) as stage:
        await stage.all_up()
        frozen, other = stage.started
        slot = stage.supervisor.slots[0]
        for _ in range(2):
            other.beats.put_nowait(1)
            await stage.clock.look_after(5)
        assert slot.is_silent
        assert "shown no sign of life for 10 s" in slot.health(stage.clock.monotonic()).reason
        assert caplog.text.count("it is frozen, or an agent blocks its event loop") == 1
        for _ in range(10):
            assert frozen.running
            other.beats.put_nowait(1)
            await stage.clock.look_after(5)
        assert not frozen.running
        assert other.running
        await stage.until(lambda: bool(stage.clock.pending()))
        stage.clock.wake()
        await stage.until(lambda: len(stage.started) == 3)
        assert stage.started[2].number == 0
        stage.supervisor.stop()
        for worker in stage.started:
            if worker.running:
                worker.end(0)


async def test_a_worker_that_shows_life_again_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        async with staged(1) as stage:
            await stage.all_up()
            [worker] = stage.started
            for _ in range(11):
                await stage.clock.look_after(5)
            worker.beats.put_nowait(1)
            await stage.clock.look_after(0)
            await stage.clock.look_after(5)
            assert not stage.supervisor.slots[0].is_silent
            assert worker.running
            worker.end(0)
            stage.supervisor.stop()
    assert "worker 0 shows signs of life again" in caplog.text


async def test_workers_are_not_killed_because_the_supervisor_itself_stood_still() -> None:
    async with staged(2) as stage:
        await stage.all_up()
        await stage.clock.look_after(70)  # what they have sent meanwhile is not read yet
        assert all(worker.running for worker in stage.started)
        assert not any(slot.is_silent for slot in stage.supervisor.slots)
        for _ in range(12):
            assert all(worker.running for worker in stage.started)
            stage.started[1].beats.put_nowait(1)
            await stage.clock.look_after(5)
        assert [worker.running for worker in stage.started] == [False, True]
        stage.supervisor.stop()
        stage.started[1].end(0)


async def test_a_worker_that_the_system_does_not_start_is_tried_again_beside_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with staged(2) as stage:
        await stage.all_up()
        stage.refusals = 1
        stage.started[1].end(-9)
        for _ in range(2):
            await stage.until(lambda: bool(stage.clock.pending()))
            stage.clock.wake()
            await stage.until(lambda: not stage.clock.pending())
        await stage.until(lambda: len(stage.started) == 3)
        assert stage.started[0].running
        stage.supervisor.stop()
        for worker in stage.started:
            if worker.running:
                worker.end(0)
    assert "worker 1 cannot be started: Resource temporarily unavailable" in caplog.text


async def test_a_worker_that_hangs_in_its_start_is_told_replaced_with_backoff_and_no_obstacle(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with staged(2) as stage:
        waits = []
        for hanging in (0, 2):
            await stage.until(lambda n=hanging: len(stage.started) > n)  # type: ignore[misc]  # bound now
            await stage.until(lambda: any(not look.done() for look in stage.clock.looks))
            for _ in range(100):
                if stage.started[hanging].running:
                    for other in stage.started[1:2]:
                        other.beats.put_nowait(1)
                    await stage.clock.look_after(5)
            assert not stage.started[hanging].running
            if hanging == 0:
                await stage.until(lambda: len(stage.started) == 2)
                stage.started[1].get_up()  # the other one does not wait for it any more
                await stage.until(lambda: stage.supervisor.slots[1].state is SlotState.UP)
            await stage.until(lambda: bool(stage.clock.pending()))
            waits += stage.clock.pending()
            stage.clock.wake()
        assert waits == [0.5, 1]
        assert caplog.text.count("worker 0 is not up 60 s after its start; it is replaced") == 2
        assert caplog.text.count("worker 0 is killed: it was not up 300 s after its start") == 2
        await stage.until(lambda: len(stage.started) == 4)
        stage.supervisor.stop()
        for worker in stage.started:
            if worker.running:
                worker.end(0)
