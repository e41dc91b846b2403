"""Dead letters are sent back, and who sends them is killed."""

import asyncio
from dataclasses import dataclass

from tests.torture.feeder import Feeder
from tests.torture.outcome import Outcome
from tests.torture.pipeline import PIPELINE, STAGE
from tests.torture.stand import KEYS, Ground, Stand
from tests.torture.verdict import judge, read
from tests.torture.workers import Worker

WORKERS = 2
PARTITIONS = 4
WAIT_MS = 1.0

_POLL_SECONDS = 0.1
_PROGRESS_SECONDS = 120.0
_DRAIN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        letters: how many there are.
        kills: how often the sender is killed.
        step: share of the letters that is sent between two kills, at least.
        rate: letters a second.
    """

    letters: int = 100_000
    kills: int = 3
    step: float = 0.15
    rate: int = 10_000


FULL = Scale()
SHORT = Scale(letters=10_000, rate=2_000)


async def replay(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """SIGKILL the sender again and again, while workers work on what it has sent."""
    outcome.asked = {
        "dead letters": f"{scale.letters:,}",
        "sender killed": f"{scale.kills} times",
        "sent twice, left out": "0",
    }
    async with Stand.on(
        ground, outcome, partitions=PARTITIONS, wait_ms=WAIT_MS, target=PIPELINE
    ) as stand:
        topic = f"{stand.name}.{STAGE}.replay"
        await stand.kafka.create_topics({topic: PARTITIONS})
        servers, letters = stand.kafka.bootstrap_servers, f"{stand.name}.{STAGE}.dlq"
        async with Feeder.on(servers, letters, keys=KEYS) as feeder:
            await feeder.load(scale.letters)
            await feeder.stop()
        for _ in range(WORKERS):
            await stand.fleet.start()
        await stand.watch.until_joined(WORKERS)
        await _kill_senders(stand, topic, scale)
        last = await _sender(stand)
        outcome.check(await last.ended() == 0, f"the last sender failed: {last.said()}")
        source, sent = await read(servers, letters), await read(servers, topic)
        counts = judge(feeder.acknowledged, feeder.unknown, source, sent, 0)
        outcome.counted(counts, min_records=scale.letters, max_duplicates=0)
        await _until_worked_on(stand, {one.id for one in sent})
        for worker, code in await stand.fleet.stop_all():
            outcome.check(code == 0, f"worker {worker.name} ended with {code}")
    outcome.check(outcome.faults["SIGKILL"] == scale.kills, "not all kills were made")


async def _kill_senders(stand: Stand, topic: str, scale: Scale) -> None:
    """Kill a sender after each step of progress, and start the next one."""
    sent = 0
    least_left = scale.letters
    for _ in range(scale.kills):
        sender = await _sender(stand, "--rate", str(scale.rate))
        await _until_sent(stand, sender, topic, sent + int(scale.step * scale.letters))
        await sender.kill()
        stand.outcome.faults["SIGKILL"] += 1
        sent = sum((await stand.watch.ends(topic)).values())
        least_left = min(least_left, scale.letters - sent)
    stand.outcome.figures["letters left at the last kill, at least"] = f"{least_left:,}"
    stand.outcome.check(least_left > 0, "all were sent before the last kill")


async def _sender(stand: Stand, *options: str) -> Worker:
    """Start sending letters back; they name no stage, as nobody told why they failed."""
    letters = f"{stand.name}.{STAGE}.dlq"
    command = ("dlq", "replay", PIPELINE, "--topic", letters, "--to-stage", STAGE, "--yes")
    return await stand.fleet.call(*command, *options)


async def _until_sent(stand: Stand, sender: Worker, topic: str, count: int) -> None:
    async with asyncio.timeout(_PROGRESS_SECONDS):
        while sum((await stand.watch.ends(topic)).values()) < count:
            if not sender.running:
                raise AssertionError(f"the sender ended before it was killed: {sender.said()}")
            await asyncio.sleep(_POLL_SECONDS)


async def _until_worked_on(stand: Stand, wanted: set[int]) -> None:
    """Wait until each letter that was sent has an output."""
    servers = stand.kafka.bootstrap_servers
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _DRAIN_SECONDS
    missing = set(wanted)
    while missing and loop.time() < deadline:
        await asyncio.sleep(1)
        if await stand.watch.written() >= len(wanted):
            missing = wanted - {one.id for one in await read(servers, stand.watch.sink)}
    stand.outcome.check(not missing, f"{len(missing)} letters were never worked on")
    stand.outcome.figures["outputs of the stage"] = f"{await stand.watch.written():,}"
