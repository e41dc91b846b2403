"""Faults at drawn moments: processes start, stop, crash and freeze; the broker is down."""

import asyncio
import random
from typing import TYPE_CHECKING

from streamapp.record import TopicPartition
from tests.simulation.faults import Fault

if TYPE_CHECKING:
    from tests.simulation.simulate import Run
    from tests.simulation.worker import Worker

_MAX_ALIVE = 4
_OUTAGE_SECONDS = 6.0
_ALL = 0.3


class Chaos:
    """Causes the drawn events of a scenario."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._rng = random.Random(f"chaos {run.scenario.seed}")

    async def run(self) -> None:
        """Cause events until the time of the scenario is over."""
        loop = self._run.loop
        for at, fault in self._run.scenario.events:
            await asyncio.sleep(max(0.0, at - loop.time()))
            self._happen(fault)
        await asyncio.sleep(max(0.0, self._run.scenario.seconds - loop.time()))

    def _happen(self, fault: Fault) -> None:
        run, rng = self._run, self._rng
        alive = [w for w in run.alive() if not run.loop.is_frozen(w.name)]
        if fault is Fault.JOIN:
            if len(alive) >= _MAX_ALIVE:
                return
            run.start_worker()
        elif fault is Fault.OUTAGE:
            self._outage(rng.uniform(0.5, _OUTAGE_SECONDS))
        elif fault is Fault.RETENTION and not self._has_a_source():
            return
        elif fault is Fault.RETENTION:
            self._delete_records()
        elif fault is Fault.LETTERS_REFUSED:
            run.world.letters_refused_until = run.loop.time() + rng.uniform(0.5, 8.0)
        elif fault is Fault.COMMITS_REFUSED:
            run.world.commits_refused_until = run.loop.time() + rng.uniform(2.0, 15.0)
        elif not alive:
            return
        elif fault is Fault.REBALANCE:
            run.broker.group(rng.choice(run.checker.parts).group).rebalance()
        else:
            self._hit(fault, rng.choice(alive))
        run.dice.note(fault)

    def _hit(self, fault: Fault, worker: "Worker") -> None:
        run, rng = self._run, self._rng
        if fault is Fault.LEAVE:
            worker.leave()
            run.loop.call_later(rng.uniform(0.1, 4.0), self._replace)
        elif fault is Fault.CRASH:
            worker.crash()
            run.loop.call_later(rng.uniform(0.1, 4.0), self._replace)
        elif fault is Fault.FREEZE:
            worker.freeze()
            longest = run.scenario.session_seconds * 3
            run.loop.call_later(rng.uniform(0.1, longest), worker.thaw)
        elif fault is Fault.MUTE:
            worker.line.muted_until = run.loop.time() + rng.uniform(1.0, 12.0)

    def _delete_records(self) -> None:
        """Delete the older part of a source partition, even if nobody has read it."""
        run, rng = self._run, self._rng
        name = self._part_of_a_source()
        log = run.broker.log(name)
        before = rng.randint(log.start_offset, log.end_offset)
        if rng.random() < _ALL:
            before = log.end_offset
        log.delete_before(before)
        run.checker.deleted(name, before)

    def _has_a_source(self) -> bool:
        return any(self._run.broker.has(name) for name in self._run.scenario.sources.all)

    def _part_of_a_source(self) -> TopicPartition:
        run, rng = self._run, self._rng
        topics = [name for name in run.scenario.sources.all if run.broker.has(name)]
        topic = rng.choice(topics) if len(topics) > 1 else topics[0]
        return TopicPartition(topic, rng.randrange(run.scenario.partitions))

    def truncate(self) -> None:
        """Let a source partition lose its last records, as a leader does that had not got them.

        Called when all are written: on Kafka, nobody could tell a position beyond the end from one
        that later records have reached.
        """
        run, rng = self._run, self._rng
        name = self._part_of_a_source()
        log = run.broker.log(name)
        if log.start_offset == log.end_offset:
            return
        end = rng.randrange(log.start_offset, log.end_offset)
        log.truncate(end)
        run.checker.truncated(name, end)
        run.dice.note(Fault.TRUNCATED, f"{name.topic}[{name.partition}] at {end}")

    def _replace(self) -> None:
        """Start a process in the place of one that is gone, as a platform does."""
        if not self._run.is_ending and len(self._run.alive()) < self._run.scenario.workers:
            self._run.start_worker()

    def _outage(self, seconds: float) -> None:
        world = self._run.world
        world.down_until = max(world.down_until, world.loop.time() + seconds)
        for part in self._run.checker.parts:
            group = self._run.broker.group(part.group)
            for member in group._members.values():
                # The coordinator is down as well, so no session expires meanwhile.
                member.last_heartbeat_at = world.down_until
