"""Workers that are killed in the middle of their work."""

from dataclasses import dataclass

from tests.torture.outcome import Outcome
from tests.torture.stand import Ground, Stand

WAIT_MS = 20.0
"""So slow that there is always a commit between two kills."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        records: loaded before the first worker starts.
        partitions: of the topics.
        kills: how often the worker is killed.
        step: share of the records that is worked on between two kills, at least.
    """

    records: int = 100_000
    partitions: int = 5
    kills: int = 3
    step: float = 0.2


FULL = Scale()
SHORT = Scale(records=10_000, kills=2)


async def crash(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """SIGKILL a worker again and again, each time after some more progress."""
    outcome.asked = {
        "records": f"{scale.records:,}",
        "partitions": str(scale.partitions),
        "SIGKILLs": str(scale.kills),
        "progress between two": f"{scale.step:.0%}",
    }
    async with Stand.on(ground, outcome, partitions=scale.partitions, wait_ms=WAIT_MS) as stand:
        await stand.feeder.load(scale.records)
        written = uncommitted = 0
        least_lag = scale.records
        while outcome.faults["SIGKILL"] < scale.kills and outcome.ok:
            worker = await stand.fleet.start()
            target = written + int(scale.step * scale.records)
            await stand.watch.until_written(target, seconds=180)
            await worker.kill()
            outcome.faults["SIGKILL"] += 1
            written = await stand.settled()
            least_lag = min(least_lag, await stand.unfinished())
            # Over all runs: every record that is written and not committed is written once more.
            uncommitted = written - sum((await stand.watch.committed()).values())
        await stand.fleet.start()
        await stand.finish()
        await stand.verify(min_records=scale.records, max_duplicates=uncommitted)
    outcome.figures["least lag at a kill"] = f"{least_lag:,}"
    outcome.figures["written and not committed at the kills"] = f"{uncommitted:,}"
    outcome.check(outcome.faults["SIGKILL"] == scale.kills, "not all kills were made")
    outcome.check(uncommitted > 0, "nothing was in flight at any kill")
