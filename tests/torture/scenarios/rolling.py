"""Rolling restarts of three workers under load, as Kubernetes makes them."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.torture.outcome import Outcome
from tests.torture.stand import Ground, Stand, now_ms
from tests.torture.verdict import longest_gaps
from tests.torture.workers import Worker

WORKERS = 3
PARTITIONS = 6
WAIT_MS = 200.0
"""So slow that two workers of three have just enough time: those that end leave work behind."""

_GRACE_SECONDS = 30.0
"""What Kubernetes gives a pod between SIGTERM and SIGKILL unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        backlog: records that are loaded before.
        rate: records a second that are sent all the time.
        rounds: how often all workers are restarted.
        still_seconds: time before the first restart, to see what is usual.
    """

    backlog: int = 2_000
    rate: float = 600.0
    rounds: int = 3
    still_seconds: float = 10.0


Replacement = Callable[[Stand, Worker, int], Awaitable[Worker]]
"""Ends a worker and starts its successor in this place."""

FULL = Scale()
SHORT = Scale(rounds=1, still_seconds=3.0)


async def deployment(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """As a Deployment does it: one more first, then one of the old ones ends."""

    async def replace(stand: Stand, old: Worker, _place: int) -> Worker:
        new = await stand.fleet.start()
        await stand.watch.until_joined(WORKERS + 1)
        await _terminate(stand, old)
        return new

    await _roll(ground, outcome, scale, replace_with=replace)


async def stateful_set(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """As a StatefulSet does it: one ends, then its successor starts in its place."""

    async def replace(stand: Stand, old: Worker, _place: int) -> Worker:
        await _terminate(stand, old)
        return await stand.fleet.start()

    await _roll(ground, outcome, scale, replace_with=replace)


async def static_members(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """The same with static membership: the successor has the group instance id of the old one."""

    async def replace(stand: Stand, old: Worker, place: int) -> Worker:
        await _terminate(stand, old)
        return await stand.fleet.start(instance=_instance(place))

    await _roll(ground, outcome, scale, replace_with=replace, static=True)


async def _roll(
    ground: Ground,
    outcome: Outcome,
    scale: Scale,
    *,
    replace_with: Replacement,
    static: bool = False,
) -> None:
    outcome.asked = {
        "workers restarted": f"{scale.rounds} times each of {WORKERS}",
        "records a second": f"{scale.rate:g}",
        "each ends": f"within {_GRACE_SECONDS:g} s, with 0",
    }
    async with Stand.on(
        ground, outcome, partitions=PARTITIONS, wait_ms=WAIT_MS, through_proxies=True
    ) as stand:
        workers = [
            await stand.fleet.start(instance=_instance(place) if static else None)
            for place in range(WORKERS)
        ]
        await stand.watch.until_joined(WORKERS)
        await stand.feeder.load(scale.backlog)
        stand.feeder.feed(scale.rate)
        await stand.watch.until_all_move(seconds=60)
        still_ms = now_ms()
        await asyncio.sleep(scale.still_seconds)
        generation = ground.proxies.wiretap.generations[stand.watch.group]
        began_ms = now_ms()
        for _ in range(scale.rounds):
            for place in range(WORKERS):
                await stand.unfinished()
                workers[place] = await replace_with(stand, workers[place], place)
                await stand.watch.until_joined(WORKERS)
                await stand.watch.until_all_move(seconds=60)
        ended_ms = now_ms()
        rebalances = ground.proxies.wiretap.generations[stand.watch.group] - generation
        await stand.finish()
        outputs = await stand.verify(min_records=scale.backlog, max_duplicates=0)
    outcome.figures["rebalances"] = str(rebalances)
    instances = ground.proxies.wiretap.instances.get(stand.watch.group, set())
    expected = {_instance(place) for place in range(WORKERS)} if static else set()
    outcome.check(instances == expected, f"static members: {sorted(instances)}")
    usual = longest_gaps(outputs, PARTITIONS, since_ms=still_ms, until_ms=began_ms)
    gaps = longest_gaps(outputs, PARTITIONS, since_ms=began_ms, until_ms=ended_ms)
    outcome.figures["longest pause before it, worst partition"] = f"{max(usual):.2f} s"
    outcome.figures["longest pause of each partition"] = (
        ", ".join(f"{gap:.2f}" for gap in gaps) + " s"
    )
    outcome.figures["median of these"] = f"{statistics.median(gaps):.2f} s"
    asked = scale.rounds * WORKERS
    outcome.check(outcome.faults["SIGTERM"] == asked, "not all workers were restarted")


async def _terminate(stand: Stand, worker: Worker) -> None:
    seconds = await worker.terminate()
    stand.outcome.faults["SIGTERM"] += 1
    code = worker.process.returncode
    stand.outcome.check(code == 0, f"{worker.name} ended with {code}: {worker.said()}")
    stand.outcome.check(seconds <= _GRACE_SECONDS, f"{seconds:.1f} s to end")


def _instance(place: int) -> str:
    return f"worker-{place}"
