"""Nodes of a cluster that are killed and stopped: those that matter most at that moment."""

from dataclasses import dataclass

from tests.torture.outcome import Outcome
from tests.torture.stand import Ground, Stand, now_ms
from tests.torture.verdict import longest_gaps, recovery_seconds

WORKERS = 2
PARTITIONS = 6
PROGRESS_WITHIN_SECONDS = 60.0
_IN_SYNC_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        rounds: how often each of the three roles is hit in each way.
        ways: `kill` and `stop`.
        roles: which node is hit.
        backlog: records that are loaded before.
        rate: records a second that are sent all the time.
    """

    rounds: int = 5
    ways: tuple[str, ...] = ("kill", "stop")
    roles: tuple[str, ...] = ("leader", "coordinator", "controller")
    backlog: int = 5_000
    rate: float = 500.0


FULL = Scale()
SHORT = Scale(rounds=1, ways=("kill",), roles=("leader", "coordinator"))


async def bounce(ground: Ground, outcome: Outcome, scale: Scale = FULL) -> None:
    """End a node, wait for progress without it, start it again; for every role in every way."""
    outcome.asked = {
        "nodes, replicas, in sync": "3, 3, 2",
        "ends of a node": f"{scale.rounds} for each of {', '.join(scale.roles)}"
        f" by {' and '.join(scale.ways)}",
        "progress in all partitions": f"within {PROGRESS_WITHIN_SECONDS:g} s",
    }
    async with Stand.on(ground, outcome, partitions=PARTITIONS, wait_ms=20) as stand:
        workers = [await stand.fleet.start() for _ in range(WORKERS)]
        await stand.watch.until_joined(WORKERS)
        await stand.feeder.load(scale.backlog)
        began_ms = now_ms()
        stand.feeder.feed(scale.rate)
        await stand.watch.until_all_move(seconds=60)
        repeatable, hits = 0, []
        for number in range(scale.rounds):
            for way in scale.ways:
                for role in scale.roles:
                    repeatable += await stand.unfinished() + int(3 * scale.rate)
                    hits.append((way, role, await _hit(ground, stand, role, way, number)))
        outcome.check(all(one.running for one in workers), "a worker has ended by itself")
        ended_ms = now_ms()
        await stand.finish()
        outputs = await stand.verify(min_records=scale.backlog, max_duplicates=repeatable)
    for way, role, hit_ms in hits:
        outcome.recovered(
            recovery_seconds(outputs, PARTITIONS, since_ms=hit_ms),
            within=PROGRESS_WITHIN_SECONDS,
            after=f"{way} of the {role}",
        )
    gaps = longest_gaps(outputs, PARTITIONS, since_ms=began_ms, until_ms=ended_ms)
    outcome.figures["longest time without an output, worst partition"] = f"{max(gaps):.1f} s"
    asked = scale.rounds * len(scale.ways) * len(scale.roles)
    outcome.check(outcome.faults.total() == asked, f"{outcome.faults.total()} of {asked} fired")


async def _hit(ground: Ground, stand: Stand, role: str, way: str, number: int) -> int:
    """End the node in this role and start it again; when it was gone, in ms."""
    nodes, watch = ground.nodes, stand.watch

    async def in_sync() -> bool:
        return await nodes.in_sync(watch.source, watch.sink)

    await watch.until(in_sync, "all replicas in sync", seconds=_IN_SYNC_SECONDS)
    if role == "leader":
        node_id = await nodes.leader(watch.sink, number % PARTITIONS)
    elif role == "coordinator":
        node_id = await nodes.coordinator(watch.group)
    else:
        node_id = await nodes.controller()
    await nodes.end(node_id, gracefully=way == "stop")
    gone_ms = now_ms()
    stand.outcome.faults[f"{role}: {way}"] += 1
    await watch.until_all_move(seconds=PROGRESS_WITHIN_SECONDS + 30)
    await nodes.start()
    return gone_ms
