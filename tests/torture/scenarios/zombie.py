"""Workers that freeze, are thought dead, and wake up."""

import signal
import time
from dataclasses import dataclass
from functools import partial

import psutil

from tests.torture.history import commits, moved_back
from tests.torture.outcome import Outcome
from tests.torture.proxy import local_ports
from tests.torture.stand import Ground, Stand, now_ms
from tests.torture.verdict import recovery_seconds
from tests.torture.workers import Worker

WORKERS = 3
PARTITIONS = 6
TAKEN_OVER_WITHIN_SECONDS = 60.0
BACK_WITHIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        repeats: how often a worker is frozen.
        backlog: records that are loaded before.
        rate: records a second that are sent all the time.
    """

    repeats: int = 20
    backlog: int = 5_000
    rate: float = 500.0


FULL = Scale()
SHORT = Scale(repeats=1)


async def zombie(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """SIGSTOP one of three workers until the others have its partitions, then SIGCONT."""
    outcome.asked = {
        "freezes": f"{scale.repeats}, each beyond the session timeout",
        "rejoined or ended": f"within {BACK_WITHIN_SECONDS:g} s",
        "commits of the frozen one": "0",
    }
    async with Stand.on(
        ground, outcome, partitions=PARTITIONS, wait_ms=40, through_proxies=True
    ) as stand:
        workers = [await stand.fleet.start() for _ in range(WORKERS)]
        await stand.watch.until_joined(WORKERS)
        await stand.feeder.load(scale.backlog)
        stand.feeder.feed(scale.rate)
        await stand.watch.until_written(scale.backlog // 5, seconds=120)
        repeatable, frozen, slowest = 0, [], 0.0
        for number in range(scale.repeats):
            victim = workers[number % WORKERS]
            repeatable += await stand.unfinished() + int(3 * scale.rate)
            frozen_ms, seconds = await _freeze(ground, stand, victim)
            frozen.append(frozen_ms)
            slowest = max(slowest, seconds)
            if not victim.running:
                workers[number % WORKERS] = await stand.fleet.start()
                await stand.watch.until_joined(WORKERS)
        outcome.check(not ground.proxies.around([one.pid for one in workers]), "a way round")
        await stand.finish()
        outputs = await stand.verify(min_records=scale.backlog, max_duplicates=repeatable)
        back = moved_back(await commits(ground.kafka.bootstrap_servers, stand.watch.group))
    for frozen_ms in frozen:
        outcome.recovered(
            recovery_seconds(outputs, PARTITIONS, since_ms=frozen_ms),
            within=TAKEN_OVER_WITHIN_SECONDS,
            after="a freeze",
        )
    outcome.figures["slowest return of a frozen worker"] = f"{slowest:.1f} s"
    outcome.figures["commits moved back"] = str(back)
    outcome.check(slowest <= BACK_WITHIN_SECONDS, f"{slowest:.1f} s until a frozen one was back")
    outcome.check(not back, f"{back} commits moved an offset back")
    outcome.check(outcome.faults["SIGSTOP"] == scale.repeats, "not all freezes were made")
    outcome.check(outcome.faults["takeovers"] == scale.repeats, "the freezes were not noticed")


async def _freeze(ground: Ground, stand: Stand, victim: Worker) -> tuple[int, float]:
    """Freeze it until it is out of the group, and wake it.

    Returns:
        When it was frozen, in ms, and how long it took to be a member again, or to end.
    """
    tap, group, outcome = ground.proxies.wiretap, stand.watch.group, stand.outcome
    ports, generation = local_ports(victim.pid), tap.generations[group]
    victim.send(signal.SIGSTOP)
    frozen_ms = now_ms()
    await stand.watch.until(partial(_stopped, victim), "a stopped process", seconds=10)
    outcome.faults["SIGSTOP"] += 1
    others = len(stand.fleet.running) - 1
    await stand.watch.until_joined(others, seconds=TAKEN_OVER_WITHIN_SECONDS)
    await stand.watch.until_all_move(seconds=TAKEN_OVER_WITHIN_SECONDS)
    outcome.faults["takeovers"] += tap.generations[group] > generation
    heard = len(tap.commits)
    victim.send(signal.SIGCONT)
    woken = time.monotonic()
    await _joined_anew(stand, victim, others + 1)
    seconds = time.monotonic() - woken
    late = [
        one
        for one in tap.commits[heard:]
        if one.port in ports and one.group == group and one.generation <= generation
    ]
    outcome.faults["commits tried by frozen ones"] += len(late)
    accepted = sum(one.accepted is True for one in late)
    outcome.check(not accepted, f"{accepted} commits of a frozen worker were accepted")
    return frozen_ms, seconds


async def _stopped(victim: Worker) -> bool:
    return psutil.Process(victim.pid).status() == psutil.STATUS_STOPPED


async def _joined_anew(stand: Stand, victim: Worker, members: int) -> None:
    async def holds() -> bool:
        return not victim.running or await stand.watch.members() == members

    await stand.watch.until(holds, "a frozen worker back or ended", seconds=90)
