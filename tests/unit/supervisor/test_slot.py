"""The health of a worker as far as its supervisor knows it."""

import random

import pytest

from streamapp.supervisor.restarts import RestartPolicy, Restarts, how_it_ended
from streamapp.supervisor.slot import Slot, SlotState


class Process:
    pid = 1

    async def up(self) -> int | None:
        raise NotImplementedError

    async def beat(self) -> None:
        raise NotImplementedError

    async def ended(self) -> int:
        raise NotImplementedError

    def drain(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError


@pytest.fixture
def slot() -> Slot:
    return Slot(3, Restarts(RestartPolicy(), random.Random(1)))


def test_a_worker_that_is_not_started_yet_is_well(slot: Slot) -> None:
    assert slot.since == 0.0
    health = slot.health(1000.0)
    assert health.ok
    assert "first worker" in health.reason


def test_a_start_is_slow_after_a_minute(slot: Slot) -> None:
    slot.set_starting(Process(), 100.0)
    assert slot.health(159.9).ok
    assert not slot.health(160.0).ok
    assert "60 s" in slot.health(160.0).reason


def test_a_worker_that_is_up_says_for_how_long(slot: Slot) -> None:
    slot.set_up(8080, 100.0)
    assert slot.health(107.0).reason == "up for 7 s"


def test_a_worker_that_waits_says_how_it_ended_and_when_it_starts(slot: Slot) -> None:
    slot.set_starting(Process(), 1.0)
    slot.set_ended(-9, 100.0)
    slot.set_waiting(104.0)
    assert slot.process is None
    assert not slot.health(101.0).ok
    assert slot.health(101.0).reason == "was killed by SIGKILL, starts again in 3 s"
    assert slot.health(109.0).reason.endswith("in 0 s")


def test_a_new_process_waits_for_nothing(slot: Slot) -> None:
    slot.set_waiting(104.0)
    slot.set_starting(Process(), 104.0)
    assert (slot.state, slot.restart_at) == (SlotState.STARTING, None)


@pytest.mark.parametrize(("exit_code", "ok"), [(0, True), (1, False), (-9, False)])
def test_a_worker_that_ended_for_good_is_well_when_it_ended_well(
    slot: Slot, exit_code: int, *, ok: bool
) -> None:
    slot.set_up(8080, 1.0)
    slot.set_ended(exit_code, 2.0)
    health = slot.health(3.0)
    assert (health.ok, health.reason) == (ok, how_it_ended(exit_code))
    assert slot.web_port is None
