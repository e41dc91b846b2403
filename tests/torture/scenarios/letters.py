"""One record of ten is at fault, workers die, and for a while no dead letter can be written."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.torture.outcome import Outcome
from tests.torture.permissions import unwritable
from tests.torture.pipeline import POISONED, STAGE, is_poison
from tests.torture.stand import Ground, Stand
from tests.torture.verdict import judge, read
from tests.verifier.drain import drain

WORKERS = 2
PARTITIONS = 4
WAIT_MS = 20.0

_LOOK_SECONDS = 2.0
_UNCOMMITTED_SECONDS = 3.0
_REPLAY = "a batch failed, so all unfinished records are read again"
"""What a worker says when the broker has refused its dead letters."""

_KILLS_WHILE_UNWRITABLE = 1


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        seconds: how long it is fed.
        kill_seconds: time from one kill to the next.
        unwritable_from, unwritable_seconds: when the dead-letter topic takes no records.
        backlog: records that are loaded before.
        rate: records a second that are sent all the time.
    """

    seconds: float = 180.0
    kill_seconds: float = 30.0
    unwritable_from: float = 50.0
    unwritable_seconds: float = 60.0
    backlog: int = 2_000
    rate: float = 80.0

    @property
    def kills(self) -> int:
        """How many workers are killed."""
        return int(self.seconds // self.kill_seconds)


FULL = Scale()
SHORT = Scale(
    seconds=18.0, kill_seconds=8.0, unwritable_from=4.0, unwritable_seconds=10.0, backlog=500
)


async def letters(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """Kill one of two workers again and again; in between, nobody may write dead letters."""
    outcome.asked = {
        "at fault": "one record of ten",
        "a worker killed": f"every {scale.kill_seconds:g} s",
        "dead letters unwritable for": f"{scale.unwritable_seconds:g} s",
        "commits past an unwritten dead letter": "0",
    }
    async with Stand.on(
        ground, outcome, partitions=PARTITIONS, wait_ms=WAIT_MS, target=POISONED
    ) as stand:
        for _ in range(WORKERS):
            await stand.fleet.start()
        await stand.watch.until_joined(WORKERS)
        await stand.feeder.load(scale.backlog)
        stand.feeder.feed(scale.rate)
        killing = asyncio.create_task(_kill_in_turn(stand, scale))
        await asyncio.sleep(scale.unwritable_from)
        async with unwritable(ground.kafka.bootstrap_servers, _letters_of(stand)):
            await _look_on(stand, scale)
        repeatable = await killing
        await stand.finish()
        await _verify(stand, scale, max_duplicates=repeatable)


async def _kill_in_turn(stand: Stand, scale: Scale) -> int:
    """SIGKILL the oldest worker and start another one, again and again.

    Returns:
        How many records may have been written and not committed at the kills: commits are a second
        apart.
    """
    repeatable = 0
    for _ in range(scale.kills):
        await asyncio.sleep(scale.kill_seconds)
        repeatable += min(await stand.unfinished(), int(_UNCOMMITTED_SECONDS * scale.rate))
        await stand.fleet.running[0].kill()
        stand.outcome.faults["SIGKILL"] += 1
        await stand.fleet.start()
    return repeatable


async def _look_on(stand: Stand, scale: Scale) -> None:
    """While dead letters are unwritable, see that no commit goes past one that is not there."""
    loop, outcome = asyncio.get_running_loop(), stand.outcome
    until = loop.time() + scale.unwritable_seconds
    kills = outcome.faults["SIGKILL"]
    await asyncio.sleep(_LOOK_SECONDS)
    written = await _count(stand)
    most = 0
    while loop.time() < until:
        committed = await stand.watch.committed()
        missing = await _unwritten(stand)
        past = [p for p, first in missing.items() if committed.get(p, 0) > first]
        outcome.check(not past, f"committed past an unwritten dead letter in partitions {past}")
        outcome.faults["looks at commits while unwritable"] += 1
        most = max(most, len(missing))
        await asyncio.sleep(_LOOK_SECONDS)
    more = await _count(stand) - written
    outcome.faults["kills while unwritable"] += outcome.faults["SIGKILL"] - kills
    said = [worker.output.read_text().count(_REPLAY) for worker in stand.fleet.workers]
    outcome.faults["replays, as dead letters were refused"] += sum(said)
    outcome.check(sum(said) > 0, "no dead letter was refused")
    outcome.figures["partitions with an unwritten dead letter"] = str(most)
    outcome.check(more == 0, f"{more} dead letters were written although nobody may")
    outcome.check(most > 0, "no dead letter was to be written while that was not allowed")


async def _unwritten(stand: Stand) -> Mapping[int, int]:
    """By partition of the source, the first offset of a record whose dead letter is missing."""
    servers = stand.kafka.bootstrap_servers
    there = {one.id for one in await read(servers, _letters_of(stand))}
    first: dict[int, int] = {}
    async for record in drain(servers, stand.watch.source):
        number = json.loads(record.value)["id"]
        if is_poison(number) and number not in there:
            first.setdefault(record.partition, record.offset)
    return first


async def _verify(stand: Stand, scale: Scale, *, max_duplicates: int) -> None:
    """Good records in the sink, the others in dead letters, each at least once."""
    servers, outcome = stand.kafka.bootstrap_servers, stand.outcome
    source = await read(servers, stand.watch.source)
    outputs = await read(servers, stand.watch.sink)
    found = await read(servers, _letters_of(stand))
    sent, unknown = stand.feeder.acknowledged, stand.feeder.unknown
    bad = [one for one in source if is_poison(one.id)]
    strays = sum(not is_poison(one.id) for one in found)
    good = judge(
        {number for number in sent if not is_poison(number)},
        unknown,
        [one for one in source if not is_poison(one.id)],
        outputs,
        strays,
    )
    poison = judge({number for number in sent if is_poison(number)}, (), bad, found, 0)
    outcome.figures["records at fault"] = f"{len(bad):,}"
    outcome.figures["their dead letters, repeated"] = f"{len(found):,}, {poison.duplicates:,}"
    whole = replace(
        good,
        acknowledged=good.acknowledged + poison.acknowledged,
        source=len(source),
        lost=good.lost + poison.lost,
        forgotten=good.forgotten + poison.forgotten,
        duplicates=good.duplicates + poison.duplicates,
        examples={**good.examples, "lost": [*good.examples["lost"], *poison.examples["lost"]]},
    )
    outcome.counted(whole, min_records=scale.backlog, max_duplicates=max_duplicates)
    outcome.check(len(bad) >= len(source) // 11, "too few records were at fault")
    outcome.check(outcome.faults["SIGKILL"] == scale.kills, "not all kills were made")
    kills = outcome.faults["kills while unwritable"]
    outcome.check(kills >= _KILLS_WHILE_UNWRITABLE, "no kill while dead letters were unwritable")


async def _count(stand: Stand) -> int:
    return len(await read(stand.kafka.bootstrap_servers, _letters_of(stand)))


def _letters_of(stand: Stand) -> str:
    return f"{stand.name}.{STAGE}.dlq"
