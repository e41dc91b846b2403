"""One run: a scenario from its first record to its last commit."""

import asyncio
import contextvars
import gc
import logging
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import StreamappError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.topology import Topology
from streamapp.record import TopicPartition
from tests.simulation.broker import SimulatedBroker
from tests.simulation.bundled import commits_of_views_noted
from tests.simulation.chaos import Chaos
from tests.simulation.checker import Checker
from tests.simulation.declaration import BUNDLE, topology_of
from tests.simulation.dice import Dice, Trace
from tests.simulation.faults import Fault
from tests.simulation.feed import feed
from tests.simulation.loop import MAX_TURNS, NumberedTask, VirtualClock, VirtualLoop
from tests.simulation.network import World
from tests.simulation.operator import Operator
from tests.simulation.scenario import Scenario, draw
from tests.simulation.worker import Worker
from tests.simulation.workload import Agents

QUIET_SECONDS = 240.0
"""Without faults something has to be finished within so long, until everything is."""

WIRE_SECONDS = 10.0
"""Longest way of a batch, and more."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run.

    Attributes:
        scenario: the scenario.
        complaints: broken promises; empty if all were kept.
        fired: faults that happened.
        checks: how often each promise was checked.
        repeated: outputs that were written again.
        seconds: virtual seconds that it took.
        trace: lines of the trace.
        digest: hash of the trace.
    """

    scenario: Scenario
    complaints: Sequence[str]
    fired: Counter[Fault]
    checks: Counter[str]
    repeated: int
    seconds: float
    trace: Sequence[str]
    digest: str


def simulate(seed: int) -> Result:
    """Run the scenario of a seed."""
    scenario = draw(seed)
    loop = VirtualLoop(random.Random(f"order {seed}"), scenario.disorder)
    with _undisturbed():
        try:
            run = Run(scenario, loop)
            loop.set_exception_handler(run.on_loop_error)
            try:
                loop.run_until_complete(run.play())
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the seed
                run.checker.complain(f"{type(error).__name__}: {error}")
            result = run.result()
            loop.allow_turns(MAX_TURNS)
            loop.run_until_complete(run.clear_away())
            return result
        finally:
            loop.close()


class Run:
    """Everything of one run."""

    def __init__(self, scenario: Scenario, loop: VirtualLoop) -> None:
        self.scenario = scenario
        self.loop = loop
        self.trace = Trace(loop)
        self.dice = Dice(random.Random(f"dice {scenario.seed}"), scenario.rates, self.trace)
        outside = contextvars.copy_context()
        self.world = World(loop, self.dice, outside, scenario.latency_seconds)
        self.clock = VirtualClock(loop)
        self.broker = SimulatedBroker(self.world, self.clock, self.trace)
        self.agents = Agents(scenario, loop)
        self.checker = Checker(self.agents, loop, self._on_complaint)
        self.broker.checker = self.checker
        self.broker.bundle = BUNDLE if scenario.is_bundled else None
        self.checker.holds.metrics_of = self._metrics_of
        self.operator = Operator(self)
        self.workers: list[Worker] = []
        self.is_ending = False
        self._violated = asyncio.Event()

    @property
    def topology(self) -> Topology:
        """The pipeline, as it is declared now."""
        return topology_of(self.agents, may_stop_on_loss=self.operator.lets_losses_stop)

    async def play(self) -> None:
        """Run from the first worker to the last commit, or to the first complaint."""
        violated = self.loop.create_task(self._violated.wait())
        playing = self.loop.create_task(self._play())
        await asyncio.wait({violated, playing}, return_when=asyncio.FIRST_COMPLETED)
        ended = playing.done()
        for task in (violated, playing):
            task.cancel()
        await asyncio.gather(violated, playing, return_exceptions=True)
        if ended:
            playing.result()
            self._check_nothing_left()

    async def clear_away(self) -> None:
        """End what is left of all processes, without any effect."""
        self.loop.set_exception_handler(lambda _loop, _context: None)
        self.agents.blocks = False
        for worker in self.workers:
            worker.clear_away()
        me = asyncio.current_task()
        while left := [task for task in asyncio.all_tasks() if task is not me]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1.0)

    async def _play(self) -> None:
        scenario = self.scenario
        names = {*self.topology.topics(), *scenario.sources.at_first}
        await self.broker.admin().create_topics(
            [TopicSpec(name, scenario.partitions) for name in sorted(names)]
        )
        for _ in range(scenario.workers):
            self.start_worker()
        writing = self.loop.create_task(feed(self.broker, scenario, self.clock))
        chaos = Chaos(self)
        await chaos.run()
        await writing
        if scenario.truncates:
            chaos.truncate()
        await asyncio.sleep(scenario.after_seconds)
        if scenario.stops_in_outage:
            await self._stop_in_an_outage()
        self._end_faults()
        if scenario.until_end:
            await self._stop_all()
            await asyncio.sleep(
                WIRE_SECONDS
            )  # what is still on its way would end up behind the end
            await self._run_to_the_end()
        else:
            await self._wait_for_the_end()
            await self._stop_all()
        for complaint in self.agents.complaints:
            self.checker.complain(complaint)
        self.checker.check_end(clean=scenario.is_clean)

    def start_worker(self, *, until_end: bool = False) -> Worker:
        """Start one more process."""
        worker = Worker(self, f"w{len(self.workers)}", until_end=until_end)
        self.workers.append(worker)
        worker.start()
        return worker

    def alive(self) -> list[Worker]:
        """Processes that run, or will be started again."""
        return [worker for worker in self.workers if worker.is_wanted]

    def on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Complain of an error that nobody awaited or that a callback raised."""
        error = context.get("exception")
        if isinstance(error, StreamappError):
            return  # an answer that nobody waited for any more
        self.checker.complain(f"{context.get('message')}: {error!r}")

    def _metrics_of(self, process: str, stage: int) -> StageMetrics | None:
        """What operators see of a stage in a process."""
        worker = next((worker for worker in self.workers if worker.name == process), None)
        return None if worker is None else worker.metrics_of(stage)

    def result(self) -> Result:
        return Result(
            scenario=self.scenario,
            complaints=self.checker.complaints,
            fired=self.dice.fired + self.agents.fired,
            checks=self.checker.checks
            + Counter(alone=self.agents.overlaps_checked)
            + self.agents.parts_checked,
            repeated=self.checker.repeated(),
            seconds=self.loop.time(),
            trace=self.trace.lines,
            digest=self.trace.digest(),
        )

    def _end_faults(self) -> None:
        """Let no further faults happen."""
        self.trace("quiet")
        self.dice.quiet = True
        self.agents.dependency.is_mended = True
        self.world.letters_refused_until = self.world.commits_refused_until = 0.0
        self.world.down_until = 0.0
        for worker in self.workers:
            worker.heal()
        if not self.alive():
            self.start_worker()

    async def _stop_in_an_outage(self) -> None:
        """Stop all workers while nobody answers them: each must end."""
        self.trace("fault: outage for as long as it takes")
        for worker in self.workers:
            worker.heal()
        # Requests that were sent before arrive when the outage is over.
        self.world.down_until = self.loop.time() + self.checker.stops.longest_seconds + 1.0
        await self._stop_all()
        self.is_ending = False
        # So do batches of workers that have ended; they must arrive before the run ends.
        await asyncio.sleep(max(0.0, self.world.down_until - self.loop.time()))

    async def _wait_for_the_end(self) -> None:
        """Wait until everything is finished and committed."""
        before, since = self._progress([""]), self.loop.time()
        while unfinished := self.checker.unfinished(self._ends()):
            if (progress := self._progress(unfinished)) != before:
                before, since = progress, self.loop.time()
            if self.loop.time() >= since + QUIET_SECONDS:
                self.checker.complain(f"not at the end: {'; '.join(unfinished)}")
                return
            await asyncio.sleep(0.5)

    async def _run_to_the_end(self) -> None:
        """Start a last worker, which does the rest and ends by itself."""
        worker = self.start_worker(until_end=True)
        assert worker.task is not None
        before, ended = self._progress([""]), False
        while not ended:
            unfinished = self.checker.unfinished(self._ends())
            if (progress := self._progress(unfinished)) == before:
                self.checker.complain(f"not at the end: {'; '.join(unfinished)}")
                return
            before = progress
            ended = bool((await asyncio.wait({worker.task}, timeout=QUIET_SECONDS))[0])
        if left := self.checker.unfinished(self._ends()):
            self.checker.complain(f"ended before the end: {'; '.join(left)}")

    def _progress(self, unfinished: list[str]) -> tuple[list[str], int]:
        """What changes while something is finished, if only beyond a record that fails for long.

        Values count that an agent has returned from, each once: a replay is no progress.
        """
        return unfinished, len(self.agents.returned)

    def _ends(self) -> dict[TopicPartition, int]:
        names = [
            TopicPartition(topic, i)
            for part in self.checker.parts
            for topic in part.reads
            if self.broker.has(topic)
            for i in range(self.scenario.partitions)
        ]
        return {name: self.broker.log(name).end_offset for name in names}

    async def _stop_all(self) -> None:
        self.is_ending = True
        for worker in self.alive():
            worker.leave()
        for worker in self.workers:
            if worker.is_crashed or worker.task is None:
                continue
            longest = self.checker.stops.longest_seconds
            _, late = await asyncio.wait({worker.task}, timeout=longest)
            if late:
                self.checker.complain(f"{worker.name} does not end")

    def _check_nothing_left(self) -> None:
        """Complain of tasks that outlive their worker, except agents that do not end."""
        stubborn = Fault.STUBBORN in self.scenario.shares
        ended = {worker.name for worker in self.workers if not worker.is_crashed}
        left = [
            task.get_name()
            for task in asyncio.all_tasks(self.loop)
            if isinstance(task, NumberedTask) and task.process in ended
        ]
        if left and not stubborn:
            self.checker.complain(f"left behind: {sorted(left)}")

    def _on_complaint(self, complaint: str) -> None:
        self.trace(f"violation: {complaint}")
        self._violated.set()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without log lines or garbage collection, and with sets in an order that the seed decides."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        with commits_of_views_noted():
            yield
    finally:
        gc.enable()
        logging.disable(disabled)
