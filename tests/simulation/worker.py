"""A simulated process: a production service, started again when it ends by itself."""

import asyncio
import random
from typing import TYPE_CHECKING

from streamapp.errors import (
    BrokerError,
    DrainTimeoutError,
    StageStoppedError,
)
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.service import Service
from tests.simulation.faults import Fault
from tests.simulation.loop import process_context
from tests.simulation.network import Line

if TYPE_CHECKING:
    from tests.simulation.broker import ProcessBroker
    from tests.simulation.simulate import Run

RESTART_SECONDS = 1.0

_LOOK_SECONDS = 0.5
_NOTICE_SECONDS = 5.0
"""Time until somebody notices that a stage of a bundle has ended, and starts the worker again."""


class LongWaits(random.Random):
    """Random numbers from the upper half only, so that backoff has a least length."""

    def uniform(self, a: float, b: float) -> float:
        return super().uniform((a + b) / 2, b)


class Worker:
    """One process and its supervisor.

    Attributes:
        name: name of the process.
        task: the supervised service.
        is_wanted: whether it is to run.
        is_crashed: whether it was killed.
        is_cleared: whether the run is over.
        freezes: how often it was frozen.
    """

    def __init__(self, run: "Run", name: str, *, until_end: bool) -> None:
        self.name = name
        self.task: asyncio.Task[None] | None = None
        self.is_wanted = True
        self.is_crashed = False
        self.is_cleared = False
        self.freezes = 0
        self._run = run
        self.line = Line(run.world, name)
        self._service: Service | None = None
        self._life: ProcessBroker | None = None
        self._told_at: float | None = None
        self._starts = 0
        self._until_end = until_end

    @property
    def blocked_until(self) -> float:
        """When its agents have last held it up for long; infinity while they do."""
        return self._run.agents.blocked_until.get(self.name, 0.0)

    def start(self) -> None:
        self._run.trace(f"start {self.name}")
        self.task = self._run.loop.create_task(
            self._supervise(), name=self.name, context=process_context(self.name)
        )

    def leave(self) -> None:
        """SIGTERM: drain and end."""
        self._run.trace(f"stop {self.name}")
        self.is_wanted = False
        self._told_at = self._run.loop.time()
        self._run.checker.stops.told_to_stop(self)
        self._run.checker.finished.told(self.name)
        if self._service is not None:
            process_context(self.name).run(self._service.stop)

    def crash(self) -> None:
        """SIGKILL: nothing of it runs any more, and the broker is not told."""
        self._run.trace(f"crash {self.name}")
        self.is_wanted = False
        self.is_crashed = True
        self.line.is_cut = True
        self._compare_counts()
        self._run.loop.freeze(self.name)

    def freeze(self) -> None:
        """SIGSTOP; attempts that it interrupts may take too long."""
        self._run.trace(f"freeze {self.name}")
        self.freezes += 1
        self._run.agents.tainted.update(self._run.agents.running(self.name))
        self._run.loop.freeze(self.name)

    def thaw(self) -> None:
        """SIGCONT."""
        if not self.is_crashed and self._run.loop.is_frozen(self.name):
            self._run.trace(f"thaw {self.name}")
            self._run.loop.thaw(self.name)

    def heal(self) -> None:
        """End all faults of this process."""
        self.line.muted_until = 0.0
        self.thaw()

    def clear_away(self) -> None:
        """End it after the run, without any effect."""
        self.is_cleared = True
        self.line.is_cut = True
        self.is_wanted = False
        self._run.loop.thaw(self.name)

    def metrics_of(self, stage: int) -> StageMetrics | None:
        """The counters of one of its stages; `None` while none of them runs."""
        return self._service.metrics[stage] if self._service is not None else None

    async def _supervise(self) -> None:
        run = self._run
        while self.is_wanted:
            self._starts += 1
            run.agents.blocked[self.name] = 0
            waits = LongWaits if run.scenario.waits_long else random.Random
            self._life = run.broker.for_process(
                self.line,
                run.scenario.session_seconds,
                may_stop_on_loss=run.operator.lets_losses_stop,
            )
            self._service = Service(
                self._life,
                [run.topology],
                config=run.scenario.config,
                clock=run.clock,
                rng=waits(f"{self.name} {self._starts} {run.scenario.seed}"),
            )
            watch = asyncio.create_task(self._restart_when_contained(self._service))
            try:
                await self._service.run(until_end=self._until_end)
            except Exception as error:  # noqa: BLE001 - looked at, whatever it is
                self._failed(error)
            else:
                self._ended()
            finally:
                watch.cancel()
            self._compare_counts()
            if self.is_wanted:
                await asyncio.sleep(RESTART_SECONDS)

    async def _restart_when_contained(self, service: Service) -> None:
        """Stop a service some time after a stage of its bundle has ended, as an operator does."""
        while not any(metrics.is_contained for metrics in service.metrics):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.sleep(_NOTICE_SECONDS)
        service.stop()

    def _failed(self, error: Exception) -> None:
        """A service may fail because of the broker or because a policy says stop, but not else."""
        run = self._run
        run.trace(f"ended with {type(error).__name__}")
        may_stop_on_loss = self._life is not None and self._life.may_stop_on_loss
        run.operator.called(self.name, error, may_stop_on_loss=may_stop_on_loss)
        stubborn = bool({Fault.STUBBORN, Fault.SLOW_THREAD} & run.scenario.shares.keys())
        if isinstance(error, (BrokerError, StageStoppedError)):
            return
        if not (stubborn and isinstance(error, DrainTimeoutError)):
            run.checker.complain(f"{self.name} ended with {error!r}")

    def _ended(self) -> None:
        """A service may end by itself only when it was told to, or at the end."""
        self._run.trace("ended")
        if self._told_at is not None and not self._until_end:
            self._run.checker.stops.drained(self.name, self._told_at, to_end=True)
            self._run.checker.finished.ended(self.name)
        if self._until_end:
            self.is_wanted = False
        elif self.is_wanted and not self.line.is_cut:
            self._run.checker.complain(f"{self.name} ended, and nobody had told it to")

    def _compare_counts(self) -> None:
        """A service must have counted exactly the offsets that it skipped."""
        if self._service is None or self._life is None or self.is_cleared:
            return
        for metrics in self._service.metrics:
            self._run.checker.positions.ended(
                self._life, f"sim.{metrics.stage}", metrics.passed_over_offsets
            )
        self._service = None
