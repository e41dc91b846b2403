"""Workers that come and go faster than their group can settle."""

import asyncio
import random
import signal
from dataclasses import dataclass

from tests.torture.history import commits, moved_back
from tests.torture.outcome import Outcome
from tests.torture.stand import Ground, Stand
from tests.torture.workers import Worker

WORKERS = 4
PARTITIONS = 12
MAX_DUPLICATE_SHARE = 0.1
WAIT_MS = 250.0
"""So slow that every worker that leaves has much in flight."""

_LOOK_EVERY = 10


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        records: sent, evenly over the time.
        seconds: how long workers come and go.
        toggle_seconds: one worker is started or terminated this often.
        rebalances: so many have to be seen.
    """

    records: int = 100_000
    seconds: float = 300.0
    toggle_seconds: float = 0.5
    rebalances: int = 50


FULL = Scale()
SHORT = Scale(records=6_000, seconds=15.0, rebalances=4)


async def churn(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """Start or SIGTERM one of four workers, again and again, and let them finish in the end."""
    outcome.asked = {
        "workers, partitions": f"{WORKERS}, {PARTITIONS}",
        "records": f"{scale.records:,} in {scale.seconds:g} s",
        "a worker toggled": f"every {scale.toggle_seconds:g} s",
        "rebalances seen": f"{scale.rebalances} at least",
        "repeated": f"under {MAX_DUPLICATE_SHARE:.0%}",
    }
    tap = ground.proxies.wiretap
    async with Stand.on(
        ground, outcome, partitions=PARTITIONS, wait_ms=WAIT_MS, through_proxies=True
    ) as stand:
        slots: list[Worker | None] = [await stand.fleet.start() for _ in range(WORKERS)]
        await stand.watch.until_joined(WORKERS)
        stand.feeder.feed(scale.records / scale.seconds)
        await _churn(ground, stand, slots, scale)
        during = await stand.watch.written()
        lag = await stand.unfinished()
        outcome.check(during > 0, "nothing was done while workers came and went")
        for worker in set(stand.fleet.running) - set(slots):
            await worker.ended()  # it was told to
        while len(stand.fleet.running) < WORKERS:
            await stand.fleet.start()
        await stand.watch.until_joined(WORKERS)
        rest = scale.records - stand.feeder.sent
        await stand.feeder.stop()
        await stand.feeder.load(max(0, rest))
        await stand.finish()
        stand.check_ends()
        most = int(MAX_DUPLICATE_SHARE * scale.records)
        await stand.verify(min_records=scale.records, max_duplicates=most)
        back = moved_back(await commits(ground.kafka.bootstrap_servers, stand.watch.group))
        group = stand.watch.group
    own = [one for one in tap.commits if one.group == group]
    stale = sum(one.stale for one in own)
    outcome.faults["rebalances"] = len(tap.joins[group])
    outcome.figures["records written while they came and went"] = f"{during:,}"
    outcome.figures["lag at the end of it"] = f"{lag:,}"
    outcome.figures["commits heard, refused"] = (
        f"{len(own):,}, {sum(one.accepted is False for one in own):,}"
    )
    outcome.figures["commits by a stale owner, commits moved back"] = f"{stale}, {back}"
    outcome.check(outcome.faults["rebalances"] >= scale.rebalances, "too few rebalances")
    outcome.check(not stale, f"{stale} commits by an owner of an older generation")
    outcome.check(not back, f"{back} commits moved an offset back")


async def _churn(ground: Ground, stand: Stand, slots: list[Worker | None], scale: Scale) -> None:
    rng, loop, outcome = random.Random(7), asyncio.get_running_loop(), stand.outcome
    end = loop.time() + scale.seconds
    toggles, ways_round = 0, 0
    while (now := loop.time()) < end:
        toggles += 1
        place = rng.randrange(len(slots))
        worker = slots[place]
        if worker is not None and worker.running:
            worker.send(signal.SIGTERM)
            slots[place] = None
            outcome.faults["workers terminated"] += 1
        elif len(stand.fleet.running) < 2 * WORKERS:  # those that drain are not waited for
            slots[place] = await stand.fleet.start()
            outcome.faults["workers started"] += 1
        if toggles % _LOOK_EVERY == 0:
            pids = [one.pid for one in stand.fleet.running]
            ways_round += len(ground.proxies.around(pids))
        await asyncio.sleep(max(0.0, now + scale.toggle_seconds - loop.time()))
    outcome.check(not ways_round, f"{ways_round} connections went round the proxy")
