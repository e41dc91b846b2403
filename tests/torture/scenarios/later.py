"""Records that fail wait in retry topics, and workers are killed while they do."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.torture.outcome import Outcome
from tests.torture.pipeline import (
    ATTEMPT_LINE,
    DELAYS_VARIABLE,
    PATIENT,
    STAGE,
    failures_of,
)
from tests.torture.stand import Ground, Stand
from tests.torture.verdict import Counts, Seen, judge, read
from tests.torture.watch import Watch

WORKERS = 2
PARTITIONS = 4
WAIT_MS = 20.0

_ROUNDING_MS = 1
_PROGRESS_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        delays: seconds that a record waits after its first failure, its second and so on.
        kills: how often all workers are killed.
        step: records that are committed between two kills, at least.
        backlog: records that are loaded before.
        rate: records a second that are sent until the last kill.
    """

    delays: tuple[int, ...] = (5, 20)
    kills: int = 6
    step: int = 2_000
    backlog: int = 2_000
    rate: float = 100.0


FULL = Scale()
SHORT = Scale(delays=(1, 2), kills=2, step=200, backlog=500)


async def later(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """Kill all workers again and again, each time while records wait."""
    outcome.asked = {
        "failing": "one record of ten, of these one of five for ever",
        "they wait for": ", then ".join(f"{delay} s" for delay in scale.delays),
        "all workers killed": f"{scale.kills} times",
        "tried again before they are due": "0",
    }
    async with Stand.on(
        ground,
        outcome,
        partitions=PARTITIONS,
        wait_ms=WAIT_MS,
        target=PATIENT,
        environment={DELAYS_VARIABLE: " ".join(map(str, scale.delays))},
        further=[f"{STAGE}.retry-{delay}s" for delay in scale.delays],
    ) as stand:
        topics = Topics.of(stand, scale.delays)
        await stand.feeder.load(scale.backlog)
        stand.feeder.feed(scale.rate)
        uncommitted = 0
        for _ in range(scale.kills):
            uncommitted = await _kill_while_records_wait(stand, topics, scale)
        await _work_until_records_wait(stand, topics, scale)
        await stand.feeder.stop()
        await topics.until_empty(seconds=_PROGRESS_SECONDS + sum(scale.delays))
        await stand.finish()
        await _verify(stand, topics, scale, max_duplicates=uncommitted)
    outcome.figures["written and not committed at the kills"] = f"{uncommitted:,}"
    outcome.check(uncommitted > 0, "nothing was in flight at any kill")
    _check_due_times(stand, scale.delays)


@dataclass(frozen=True, slots=True)
class Topics:
    """What the stage reads and writes, besides its sink.

    Attributes:
        source, waiting: those that it reads.
        letters: its dead letters.
    """

    source: Watch
    waiting: Sequence[Watch]
    letters: Watch

    @classmethod
    def of(cls, stand: Stand, delays: Collection[int]) -> "Topics":
        """The topics of a pipeline."""
        own = f"{stand.name}.{STAGE}"
        waiting = [replace(stand.watch, source=f"{own}.retry-{delay}s") for delay in delays]
        return cls(stand.watch, waiting, replace(stand.watch, sink=f"{own}.dlq", partitions=1))

    async def records_waiting(self) -> int:
        """Records of retry topics that are not finished."""
        return sum([await watch.lag() for watch in self.waiting])

    async def written(self) -> int:
        """Outputs, retries and dead letters: one for every record that was finished once."""
        waiting = [sum((await watch.ends(watch.source)).values()) for watch in self.waiting]
        return await self.source.written() + await self.letters.written() + sum(waiting)

    async def settled(self) -> int:
        """The same once the broker has written all that killed workers had sent."""
        before = await self.written()
        while True:
            await asyncio.sleep(0.5)
            now = await self.written()
            if now == before:
                return now
            before = now

    async def committed(self) -> int:
        """Records of the source and of retry topics that are committed."""
        offsets = [await watch.committed() for watch in (self.source, *self.waiting)]
        return sum(sum(own.values()) for own in offsets)

    async def until_empty(self, *, seconds: float) -> None:
        """Wait until everything has ended.

        Raises:
            TooSlowError: something has not in time.
        """

        async def holds() -> bool:
            return await self.source.lag() == 0 and await self.records_waiting() == 0

        await self.source.until(holds, "the source and the retry topics to end", seconds=seconds)


async def _work_until_records_wait(stand: Stand, topics: Topics, scale: Scale) -> None:
    """Start the workers, as static members: they need not wait for those that were killed."""
    target = await topics.committed() + scale.step
    for number in range(WORKERS):
        await stand.fleet.start(instance=f"{stand.name}-{number}")

    async def holds() -> bool:
        return await topics.committed() >= target and await topics.records_waiting() > 0

    what = f"{target} committed records, and some that wait"
    await stand.watch.until(holds, what, seconds=_PROGRESS_SECONDS)


async def _kill_while_records_wait(stand: Stand, topics: Topics, scale: Scale) -> int:
    """Let workers work for a while, then SIGKILL them.

    Returns:
        How much was ever written by then that was not committed: over all kills, so much may be
        written twice.
    """
    outcome = stand.outcome
    await _work_until_records_wait(stand, topics, scale)
    await asyncio.gather(*(worker.kill() for worker in stand.fleet.running))
    outcome.faults["SIGKILL"] += WORKERS
    written = await topics.settled()
    waiting = await topics.records_waiting()
    outcome.faults["records that waited at a kill"] += waiting
    outcome.check(waiting > 0, "no record waited at a kill")
    await stand.unfinished()
    return written - await topics.committed()


async def _verify(stand: Stand, topics: Topics, scale: Scale, *, max_duplicates: int) -> None:
    """Each record in the sink or the dead letters, as its failures say."""
    servers, outcome = stand.kafka.bootstrap_servers, stand.outcome
    source = await read(servers, stand.watch.source)
    outputs = await read(servers, stand.watch.sink)
    letters = await read(servers, topics.letters.sink)
    most = len(scale.delays)
    hopeless = {one.id for one in source if failures_of(one.id) > most}
    patient = {one.id for one in source if 0 < failures_of(one.id) <= most}
    steady = {one.id for one in source} - hopeless - patient
    strays = sum(one.id not in hopeless for one in letters)
    too_good = sum(one.id in hopeless for one in outputs)
    ended = (
        _judged(steady, source, outputs),
        replace(_judged(patient, source, outputs), inversions=0),  # given up
        replace(_judged(hopeless, source, letters), inversions=0),
    )
    feeder = stand.feeder
    whole = Counts(
        acknowledged=len(feeder.acknowledged),
        unknown=len(feeder.unknown),
        source=len(source),
        outputs=len(outputs),
        lost=sum(one.lost for one in ended),
        forgotten=len(feeder.acknowledged - steady - patient - hopeless),
        duplicates=sum(one.duplicates for one in ended),
        strangers=sum(one.strangers for one in ended) + too_good,
        inversions=ended[0].inversions,
        dead_letters=strays,
        examples={
            name: [number for one in ended for number in one.examples[name]][:5]
            for name in ended[0].examples
        },
    )
    outcome.figures["workers that wrote"] = str(len({one.pid for one in outputs}))
    outcome.figures["that failed for a while, for ever"] = f"{len(patient):,}, {len(hopeless):,}"
    outcome.figures["dead letters"] = f"{len(letters):,}"
    outcome.counted(whole, min_records=scale.backlog, max_duplicates=max_duplicates)
    kills = outcome.faults["SIGKILL"]
    outcome.check(kills == scale.kills * WORKERS, "not all kills were made")


def _judged(ids: set[int], source: Sequence[Seen], found: Sequence[Seen]) -> Counts:
    """Compare records of these ids with what was found of them; the ledger is looked at apart."""
    return judge(
        (), (), [one for one in source if one.id in ids], [one for one in found if one.id in ids], 0
    )


def _check_due_times(stand: Stand, delays: Sequence[int]) -> None:
    """Hold each attempt, as the agents wrote it down, against the one before it.

    A worker that was killed may have made it, and several may have: one has to be long enough ago.
    """
    attempts, outcome = _attempts(stand), stand.outcome
    used: Counter[int] = Counter()
    for (number, attempt), times in attempts.items():
        if attempt == 1:
            continue
        delay_ms = 1000 * delays[attempt - 2] - _ROUNDING_MS
        before = attempts.get((number, attempt - 1), [])
        outcome.early += sum(all(began - end < delay_ms for _, end in before) for began, _ in times)
        used[attempt - 1] += len(times)
    told = ", ".join(f"{used[n]:,}" for n in range(1, len(delays) + 1))
    outcome.figures["attempts after the first delay, the second"] = told
    outcome.figures["attempts before they were due"] = str(outcome.early)
    outcome.check(not outcome.early, f"{outcome.early} of {used.total()} attempts were too early")
    outcome.check(
        all(used[n] for n in range(1, len(delays) + 1)), "no record has waited for each delay"
    )


def _attempts(stand: Stand) -> Mapping[tuple[int, int], list[tuple[int, int]]]:
    """When attempts of failing records began and ended, in milliseconds, by id and number."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for worker in stand.fleet.workers:
        for line in worker.output.read_text().splitlines():
            if line.startswith(ATTEMPT_LINE):
                told = json.loads(line.removeprefix(ATTEMPT_LINE))
                found[told["id"], told["attempt"]].append((told["from"], told["to"]))
    return found
