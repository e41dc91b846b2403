"""What agents depend on is down for a minute: records are held, and none is given up."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import psutil

from streamapp.policies.breaker_config import BreakerConfig
from tests.endpoints import Endpoint, Mood
from tests.probes import most_probes
from tests.torture.outcome import Outcome
from tests.torture.pipeline import ASKING, POOLED, URLS_VARIABLE
from tests.torture.stand import Ground, Stand, now_ms
from tests.torture.verdict import recovery_seconds
from tests.torture.watch import TooSlowError
from tests.torture.workers import Worker

WORKERS = 2
PARTITIONS = 4
DRAINED_WITHIN_SECONDS = 60.0
MEMORY_MIB = 50.0

_ANSWER_SECONDS = 0.005
_SETTLED_SECONDS = 1.0
_SAMPLE_SECONDS = 0.5
_MIB = 1024 * 1024
_HELD = "holds its records"
"""What a worker says when it begins to hold."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        down_seconds: how long the endpoint fails every call.
        backlog: records that are loaded before.
        rate: records a second that are sent until it is back.
    """

    down_seconds: float = 60.0
    backlog: int = 500
    rate: float = 40.0


FULL = Scale()
SHORT = Scale(down_seconds=7.0)


@dataclass(frozen=True, slots=True)
class Cast:
    """What the workers ask.

    Attributes:
        target: their pipeline.
        moods: what each endpoint does while it is down.
        how: the same in words.
    """

    target: str
    moods: Sequence[Mood]
    how: str


ONE = Cast(ASKING, (Mood.FAILS,), "one answers 503")
POOL = Cast(POOLED, (Mood.FAILS, Mood.FAILS, Mood.HANGS), "two of a pool answer 503, one hangs")


async def dependency(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """Let the endpoint that two workers ask answer 503 for a while, then as before."""
    await _play(ground, outcome, scale, ONE)


async def endpoints(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """Let all three endpoints of a pool be down for a while."""
    await _play(ground, outcome, scale, POOL)


async def _play(ground: Ground, outcome: Outcome, scale: Scale, cast: Cast) -> None:
    outcome.asked = {
        "endpoints": cast.how,
        "down for": f"{scale.down_seconds:g} s",
        "dead letters, rebalances": "0, 0",
        "calls while held": "at most the probes that fit in",
        "drained": f"within {DRAINED_WITHIN_SECONDS:g} s after it",
        "memory": f"at most {MEMORY_MIB:g} MiB up",
    }
    async with (
        _answering(len(cast.moods)) as asked,
        Stand.on(
            ground,
            outcome,
            partitions=PARTITIONS,
            wait_ms=0,
            through_proxies=True,
            target=cast.target,
            environment={URLS_VARIABLE: " ".join(one.url for one in asked)},
        ) as stand,
    ):
        workers = [await stand.fleet.start() for _ in range(WORKERS)]
        await stand.watch.until_joined(WORKERS)
        await stand.feeder.load(scale.backlog)
        stand.feeder.feed(scale.rate)
        await stand.watch.until_written(scale.backlog // 2, seconds=120)
        generations = ground.proxies.wiretap.generations
        generation = generations[stand.watch.group]
        async with _memory_watched(workers, outcome):
            await _go_down(stand, dict(zip(asked, cast.moods, strict=True)), workers, scale)
            back_ms = now_ms()
            await stand.feeder.stop()
            await _drain(stand)
        rebalances = generations[stand.watch.group] - generation
        await stand.finish()
        outputs = await stand.verify(min_records=scale.backlog, max_duplicates=0)
    outcome.figures["rebalances"] = str(rebalances)
    outcome.check(rebalances == 0, f"{rebalances} rebalances")
    outcome.recovered(
        recovery_seconds(outputs, PARTITIONS, since_ms=back_ms),
        within=DRAINED_WITHIN_SECONDS,
        after="the end of it",
    )


async def _go_down(
    stand: Stand, asked: Mapping[Endpoint, Mood], workers: Sequence[Worker], scale: Scale
) -> None:
    """Fail every call for the time asked; of the calls, count those made while all hold."""
    outcome, loop = stand.outcome, asyncio.get_running_loop()
    began = loop.time()
    for endpoint, mood in asked.items():
        endpoint.mood = mood
    lag = await stand.unfinished()

    async def all_hold() -> bool:
        return all(_HELD in worker.output.read_text() for worker in workers)

    try:
        await stand.watch.until(all_hold, "all workers hold records", seconds=scale.down_seconds)
    except TooSlowError as error:
        outcome.check(False, str(error))  # noqa: FBT003 - it does not hold
    await asyncio.sleep(_SETTLED_SECONDS)  # calls that ran when it opened end
    before = _failed(asked)
    await asyncio.sleep(max(0.0, began + scale.down_seconds - loop.time()))
    failed = _failed(asked)
    for endpoint in asked:
        endpoint.mood = Mood.ANSWERS
    budget = WORKERS * len(asked) * most_probes(BreakerConfig(), loop.time() - began)
    outcome.faults["calls that failed"] += failed
    outcome.figures["lag when it began to fail"] = f"{lag:,}"
    outcome.figures["calls until all held"] = str(before)
    outcome.figures["calls while all held, and probes that fit in"] = f"{failed - before}, {budget}"
    tried = all(endpoint.seen[mood] for endpoint, mood in asked.items())
    outcome.check(tried, "an endpoint was not called while it was down")
    outcome.check(failed - before <= budget, f"{failed - before} calls while held, not {budget}")
    outcome.check(all(worker.running for worker in workers), "a worker ended")


async def _drain(stand: Stand) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    lag = await stand.unfinished()
    try:
        await stand.watch.until_drained(seconds=DRAINED_WITHIN_SECONDS)
    except TooSlowError as error:
        stand.outcome.check(False, str(error))  # noqa: FBT003 - it does not hold
    stand.outcome.figures["lag when it was back"] = f"{lag:,}"
    stand.outcome.figures["drained after"] = f"{loop.time() - began:.1f} s"


def _failed(asked: Mapping[Endpoint, Mood]) -> int:
    """Calls that got no answer."""
    return sum(endpoint.seen[mood] for endpoint, mood in asked.items())


@asynccontextmanager
async def _answering(count: int) -> AsyncIterator[Sequence[Endpoint]]:
    async with AsyncExitStack() as stack:
        asked = [Endpoint(seconds=_ANSWER_SECONDS) for _ in range(count)]
        for endpoint in asked:
            await endpoint.live()
            stack.push_async_callback(endpoint.die)
        yield asked


@asynccontextmanager
async def _memory_watched(workers: Sequence[Worker], outcome: Outcome) -> AsyncIterator[None]:
    """Check how much more memory a worker has at any time in the block than at its start."""
    processes = [psutil.Process(worker.pid) for worker in workers]
    before = [process.memory_info().rss for process in processes]
    most = 0

    async def sample() -> None:
        nonlocal most
        while True:
            now = [process.memory_info().rss for process in processes]
            most = max([most, *(b - a for a, b in zip(before, now, strict=True))])
            await asyncio.sleep(_SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample())
    try:
        yield
    finally:
        sampling.cancel()
        await asyncio.wait({sampling})
    outcome.figures["memory of a worker, most growth"] = f"{most / _MIB:.1f} MiB"
    outcome.check(most <= MEMORY_MIB * _MIB, f"memory grew by {most / _MIB:.0f} MiB")
