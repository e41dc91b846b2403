"""Checks what a stage does while it holds its records: nothing is given up, and few are tried."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamapp.errors import Transient
from streamapp.observability.stage_metrics import BreakerState, StageMetrics
from streamapp.pipeline.context import Context
from tests.simulation.faults import Fault
from tests.simulation.loop import EPOCH_SECONDS, VirtualLoop
from tests.simulation.stage_draw import keeps_its_records
from tests.simulation.workload import Agents

if TYPE_CHECKING:
    from tests.simulation.share import Share

_TICK_SECONDS = 0.002
_MINUTE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 4.0
"""Longest time between two polls, faults of the broker included."""

_TOLD = (OSError, Transient)  # TimeoutError is an OSError


@dataclass(slots=True)
class Probing:
    """The attempts of one segment of a process on stages that were down when they began.

    Attributes:
        since: when that hold began; another one begins anew.
        running: attempts, by stage and value.
        failed_at: when an attempt on the first stage has failed last, through the world's fault.
    """

    since: float
    running: set[tuple[int, str]] = field(default_factory=set)
    failed_at: float | None = None


class Holds:
    """Follows the attempts of all workers, and what their metrics say of holds.

    Args:
        agents: know the scenario, and which attempts may fail behind the back of an agent.
        loop: tells the time.
        complain: called when a promise is broken.
        checks: how often each promise was checked.

    Attributes:
        metrics_of: what operators see of a stage in a process; `None` if it does not run.
    """

    def __init__(
        self,
        agents: Agents,
        loop: VirtualLoop,
        complain: Callable[[str], None],
        checks: Counter[str],
    ) -> None:
        self._agents = agents
        self._scenario = scenario = agents.scenario
        self._loop = loop
        self._head = agents.head
        self._complain = complain
        self._checks = checks
        self.metrics_of: Callable[[str, int], StageMetrics | None] = lambda _process, _stage: None
        self._probing: dict[tuple[str, int], Probing] = {}
        self._counted: Counter[tuple[int, str]] = Counter()
        self._held_at: defaultdict[tuple[int, str], list[tuple[str, float]]] = defaultdict(list)
        self._letters: defaultdict[tuple[str, int], dict[str, float]] = defaultdict(dict)
        self._polled_at: dict[object, float] = {}
        stuck = {Fault.STUBBORN, Fault.SLOW_THREAD} & scenario.shares.keys()
        self._ends_in_time = not stuck

    def held_since(self, process: str, stage: int) -> float | None:
        """Since when a stage says that it holds its records; `None` if it does not."""
        metrics = self.metrics_of(process, stage)
        return None if metrics is None else metrics.held_since

    def call_began(self, stage: int, value: str, context: Context) -> None:
        """A call begins: its attempt must not have a higher number than failures were counted."""
        draw = self._scenario.stages[stage]
        if draw.is_blocking:
            return  # its thread began earlier
        self._checks["attempts counted"] += 1
        # The attempt of an agent with parts may fail although the part that works did not.
        may_fail_unseen = draw.parts is not None or (stage, value) in self._agents.tainted
        if context.attempt - 1 > self._counted[stage, value] and not may_fail_unseen:
            self._complain(
                f"attempt {context.attempt} on {value!r} in stage {stage}, and"
                f" {self._counted[stage, value]} failed while it was not held"
            )

    def attempt_began(self, process: str, stage: int, value: str) -> None:
        """An attempt begins; while the stage holds its records, it must be the only one."""
        if self._scenario.stages[stage].is_blocking:
            return  # its thread began earlier
        since = self.held_since(process, stage)
        if since is not None and self._is_open(process, stage):
            self._note_probe(process, stage, value, since)

    def _note_probe(self, process: str, stage: int, value: str, since: float) -> None:
        place = (process, self._head(stage))
        probing = self._probing.get(place)
        if probing is None or probing.since != since:
            probing = self._probing[place] = Probing(since)
        self._checks["probe"] += 1
        if probing.running and self._ends_in_time:
            self._complain(f"{process} probes with {value!r} beside {sorted(probing.running)}")
        if stage == place[1] and probing.failed_at is not None:
            self._check_wait(process, stage, self._loop.time() - probing.failed_at)
        probing.running.add((stage, value))

    def _check_wait(self, process: str, stage: int, waited_seconds: float) -> None:
        breaker = self._scenario.stages[stage].hold.breaker
        assert breaker is not None
        self._checks["wait of a probe"] += 1
        if waited_seconds < breaker.first_probe_seconds / 2 - _TICK_SECONDS:
            self._complain(
                f"{process} probes stage {stage} again after {waited_seconds:.3f} s, with"
                f" {breaker.first_probe_seconds} s as the first wait"
            )

    def call_ended(self, process: str, stage: int, value: str, error: BaseException | None) -> None:
        """A call has ended, perhaps with an error."""
        if error is not None:
            self._failed(process, stage, value, error)

    def attempt_ended(
        self, process: str, stage: int, value: str, error: BaseException | None
    ) -> None:
        """An attempt has ended, perhaps with an error."""
        probing = self._probing.get((process, self._head(stage)))
        if probing is None or (stage, value) not in probing.running:
            return
        probing.running.discard((stage, value))
        # Where an agent has parts, another member may have succeeded in its place. An attempt that
        # does not end when it is cancelled is no probe any more.
        is_alone = not self._scenario.stages[stage].is_told_apart and self._ends_in_time
        if stage == self._head(stage) and is_alone:
            probing.failed_at = self._loop.time() if isinstance(error, _TOLD) else None

    def _failed(self, process: str, stage: int, value: str, error: BaseException) -> None:
        is_kept = keeps_its_records(self._scenario.stages[stage])
        if is_kept and isinstance(error, _TOLD) and self._is_open(process, stage):
            failed = type(error).__name__, EPOCH_SECONDS + self._loop.time()
            self._held_at[stage, value].append(failed)
        else:
            self._counted[stage, value] += 1

    def _is_open(self, process: str, stage: int) -> bool:
        metrics = self.metrics_of(process, stage)
        return metrics is not None and metrics.breaker_state is not BreakerState.CLOSED

    def letter(self, told: str, stage: int, value: str | None, facts: Mapping[str, str]) -> None:
        """A dead letter was written."""
        last = int(facts["last_failure"]) / 1000
        if value is not None and facts["reason"] != "backlog":
            self._checks["not held"] += 1
            held = [at for name, at in self._held_at[stage, value] if name == facts["class"]]
            if any(abs(last - at) <= _TICK_SECONDS for at in held):
                self._complain(f"{told} failed while its stage held its records")
        budget = self._scenario.stages[stage].hold.budget
        if budget is None or budget.per_minute is None:
            return
        place = f"{facts['topic']} {facts['partition']} {facts['offset']} {value}"
        written = self._letters[facts["execution_id"], stage]
        written[place] = last
        self._checks["budget"] += 1
        near = [at for at in written.values() if last - _MINUTE_SECONDS + 1 < at <= last]
        if len(near) > budget.per_minute:
            self._complain(f"{told} is number {len(near)} of a minute, over {budget.per_minute}")

    def polls(self, member: "Share", head: int, *, is_away: bool) -> None:
        """A member asks for records, or says that it lives."""
        now = self._loop.time()
        before = self._polled_at.get(member, now)
        self._polled_at[member] = now
        since = self.held_since(member.process, head)
        if since is None or is_away or before < since or not self._scenario.is_calm:
            return
        self._checks["polls while held"] += 1
        if now - before > _LONGEST_PAUSE_SECONDS:
            self._complain(f"{member} has not polled for {now - before:.1f} s while it holds")
