"""A network that swallows, delays, resets and cuts up what workers and broker tell each other."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.torture.outcome import Outcome
from tests.torture.proxy import Proxies
from tests.torture.stand import Ground, Stand, now_ms
from tests.torture.verdict import recovery_seconds

WORKERS = 3
PARTITIONS = 4
RECOVERED_WITHIN_SECONDS = 60.0
LATENCY_SECONDS = (0.5, 0.2)
RESET_EVERY_SECONDS = 5.0
UNDER_WAY_SECONDS = (0.1, 0.05)
"""Latency during the resets, so that there is always something for them to destroy."""

SLICE_BYTES = 64
TERMINATED_WITHIN_SECONDS = 30.0
_QUIET_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        blackhole_seconds, latency_seconds, resets_seconds, slices_seconds: how long each lasts.
        backlog: records that are loaded before.
        rate: records a second that are sent all the time.
        drain_seconds: how long work in flight may take to finish when a worker is stopped.
    """

    blackhole_seconds: float = 120.0
    latency_seconds: float = 60.0
    resets_seconds: float = 60.0
    slices_seconds: float = 30.0
    backlog: int = 2_000
    rate: float = 300.0
    drain_seconds: float = 15.0


FULL = Scale()
SHORT = Scale(
    blackhole_seconds=12.0,
    latency_seconds=3.0,
    resets_seconds=10.0,
    slices_seconds=2.0,
    drain_seconds=1.0,
)


async def network(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """Four kinds of bad weather, one after the other, with a recovery after each."""
    outcome.asked = {
        "blackhole": f"{scale.blackhole_seconds:g} s",
        "SIGTERM in it ends": f"within {TERMINATED_WITHIN_SECONDS:g} s,"
        f" {scale.drain_seconds:g} of them for the drain",
        "latency of 500 ± 200 ms": f"{scale.latency_seconds:g} s",
        "resets every 5 s": f"{scale.resets_seconds:g} s",
        "packets in slices": f"{scale.slices_seconds:g} s",
        "recovered": f"within {RECOVERED_WITHIN_SECONDS:g} s",
    }
    proxies = ground.proxies
    outcome.faults = proxies.weather.fired = Counter()
    phases = {
        "the blackhole": _blackhole(scale.blackhole_seconds),
        "the latency": _latency(scale.latency_seconds),
        "the resets": _resets(scale.resets_seconds),
        "the slices": _slices(scale.slices_seconds),
    }
    async with Stand.on(
        ground, outcome, partitions=PARTITIONS, wait_ms=20, through_proxies=True
    ) as stand:
        drain = ("--drain-seconds", str(scale.drain_seconds))
        workers = [await stand.fleet.start(*drain) for _ in range(WORKERS)]
        await stand.watch.until_joined(WORKERS)
        await stand.feeder.load(scale.backlog)
        stand.feeder.feed(scale.rate)
        await stand.watch.until_all_move(seconds=60)
        repeatable, cleared = 0, {}
        for name, phase in phases.items():
            repeatable += await stand.unfinished() + int(3 * scale.rate)
            await phase(stand, proxies)
            proxies.weather.clear()
            cleared[name] = now_ms()
            await stand.watch.until_all_move(seconds=RECOVERED_WITHIN_SECONDS + 30)
            await stand.watch.until_joined(len(stand.fleet.running))
            around = proxies.around([one.pid for one in workers])
            outcome.check(not around, f"round the proxy: {around}")
        outcome.check(all(one.running for one in workers[:-1]), "a worker has ended by itself")
        outcome.figures["connections through the proxy"] = str(proxies.connections)
        await stand.finish()
        outputs = await stand.verify(min_records=scale.backlog, max_duplicates=repeatable)
    for name, cleared_ms in cleared.items():
        seconds = recovery_seconds(outputs, PARTITIONS, since_ms=cleared_ms)
        outcome.recovered(seconds, within=RECOVERED_WITHIN_SECONDS, after=name)
        if seconds is not None:
            outcome.figures[f"recovery after {name}"] = f"{seconds:.1f} s"


Phase = Callable[[Stand, Proxies], Awaitable[None]]


def _blackhole(seconds: float) -> Phase:
    async def phase(stand: Stand, proxies: Proxies) -> None:
        proxies.weather.blackhole()
        end = time.monotonic() + seconds
        await asyncio.sleep(_QUIET_SECONDS)
        before = await stand.watch.written()
        leaving = stand.fleet.workers[-1]
        took = await leaving.terminate()
        await asyncio.sleep(max(0.0, end - time.monotonic()))
        through = await stand.watch.written() - before
        stand.outcome.check(not through, f"{through} outputs came out of the blackhole")
        stand.outcome.check(proxies.weather.fired["chunks held"] > 0, "nothing was swallowed")
        how = f"{took:.1f} s, exit code {leaving.process.returncode}"
        stand.outcome.figures["SIGTERM in the blackhole to end"] = how
        stand.outcome.check(took <= TERMINATED_WITHIN_SECONDS, f"SIGTERM took {how}")

    return phase


def _latency(seconds: float) -> Phase:
    async def phase(stand: Stand, proxies: Proxies) -> None:
        proxies.weather.latency_seconds = LATENCY_SECONDS
        await _goes_on(stand, seconds, "latency")
        fired = proxies.weather.fired["chunks delayed"]
        stand.outcome.check(fired > 2 * seconds, f"{fired} chunks were delayed only")

    return phase


def _resets(seconds: float) -> Phase:
    async def phase(stand: Stand, proxies: Proxies) -> None:
        resets = 0
        proxies.weather.latency_seconds = UNDER_WAY_SECONDS
        for _ in range(int(seconds / RESET_EVERY_SECONDS)):
            await asyncio.sleep(RESET_EVERY_SECONDS)
            proxies.reset()
            resets += 1
        fired = proxies.weather.fired["connections reset"]
        stand.outcome.check(fired >= resets * WORKERS, f"{fired} connections were reset only")

    return phase


def _slices(seconds: float) -> Phase:
    async def phase(stand: Stand, proxies: Proxies) -> None:
        proxies.weather.slice_bytes = SLICE_BYTES
        await _goes_on(stand, seconds, "slices")
        fired = proxies.weather.fired["pieces"]
        stand.outcome.check(fired > 100 * seconds, f"{fired} slices only")

    return phase


async def _goes_on(stand: Stand, seconds: float, what: str) -> None:
    """This weather slows work down and does not end it."""
    before = await stand.watch.written()
    await asyncio.sleep(seconds)
    done = await stand.watch.written() - before
    stand.outcome.figures[f"records written in {what}"] = f"{done:,}"
    stand.outcome.check(done > 0, f"nothing was written in {what}")
