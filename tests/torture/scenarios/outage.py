"""Kafka away for more than a minute, while workers stay, stop, die and start."""

import asyncio
from dataclasses import dataclass

from tests.torture.outcome import Outcome
from tests.torture.stand import Ground, Stand, now_ms
from tests.torture.verdict import recovery_seconds
from tests.torture.workers import UNREACHABLE

TERMINATED_WITHIN_SECONDS = 30.0
RECOVERED_WITHIN_SECONDS = 120.0
PARTITIONS = 6
WAIT_MS = 100.0
"""So slow that a worker which is killed leaves work behind."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        outage_seconds: from the kill of the broker to its start.
        backlog: records that are loaded before.
        rate: records a second that are sent all the time.
        after_seconds: how long is fed on after the recovery.
        drain_seconds: how long work in flight may take to finish when a worker is stopped.
    """

    outage_seconds: float = 70.0
    backlog: int = 10_000
    rate: float = 500.0
    after_seconds: float = 20.0
    drain_seconds: float = 15.0


FULL = Scale()
SHORT = Scale(outage_seconds=12.0, backlog=5_000, after_seconds=1.0, drain_seconds=1.0)


async def outage(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """Kill the broker under three workers: one stays, one is terminated, one is killed.

    A fourth starts while nobody answers, under a supervisor, as its exit code asks for.
    """
    outcome.asked = {
        "outage": f"{scale.outage_seconds:g} s",
        "processing again": f"within {RECOVERED_WITHIN_SECONDS:g} s",
        "SIGTERM in it ends": f"within {TERMINATED_WITHIN_SECONDS:g} s",
        "deadline of its drain": f"{scale.drain_seconds:g} s",
        "cold start in it": "1",
    }
    async with Stand.on(ground, outcome, partitions=PARTITIONS, wait_ms=WAIT_MS) as stand:
        drain = ("--drain-seconds", str(scale.drain_seconds))
        staying, terminated, killed = [await stand.fleet.start(*drain) for _ in range(3)]
        await stand.watch.until_joined(3)
        await stand.feeder.load(scale.backlog)
        stand.feeder.feed(scale.rate)
        await stand.watch.until_written(scale.backlog // 4, seconds=120)
        lag = await stand.unfinished()

        loop = asyncio.get_running_loop()
        up_at = loop.time() + scale.outage_seconds
        await ground.nodes.kill_all()
        outcome.faults["broker killed"] += 1
        took = asyncio.create_task(terminated.terminate())
        await killed.kill()
        outcome.faults["worker SIGKILL"] += 1
        cold = await stand.fleet.supervise()
        took_seconds = await took
        outcome.faults["worker SIGTERM"] += 1
        outcome.figures["SIGTERM to end"] = f"{took_seconds:.1f} s"
        outcome.figures["exit code of that worker"] = str(terminated.process.returncode)
        outcome.check(
            took_seconds <= TERMINATED_WITHIN_SECONDS, f"SIGTERM took {took_seconds:.1f} s"
        )
        await asyncio.sleep(max(0.0, up_at - loop.time()))
        outcome.check(cold.starts > 1, "the cold start did not meet the outage")
        outcome.faults["cold starts refused"] += cold.starts - 1
        await ground.nodes.start()
        up_ms = now_ms()
        outcome.check(staying.running, "the worker that was to stay has ended")

        await stand.watch.until_all_move(seconds=RECOVERED_WITHIN_SECONDS + 10)
        await stand.watch.until_joined(2)
        await asyncio.sleep(scale.after_seconds)
        outcome.check(staying.running, "the worker that was to stay has ended")
        await stand.finish()
        await cold.ended()
        outcome.check(
            set(cold.codes) <= {UNREACHABLE, 0}, f"exit codes of the cold starts: {cold.codes}"
        )
        # What was under way at the kill; the feeder went on between the look and the kill.
        repeatable = lag + int(3 * scale.rate)
        outputs = await stand.verify(min_records=scale.backlog, max_duplicates=repeatable)
        outcome.recovered(
            recovery_seconds(outputs, PARTITIONS, since_ms=up_ms),
            within=RECOVERED_WITHIN_SECONDS,
            after="the outage",
        )
    outcome.figures["lag at the outage"] = f"{lag:,}"
