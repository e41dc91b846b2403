"""Checks that drains and stops end within their deadlines, and as soon as nothing is left."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.faults import Fault
from tests.simulation.loop import VirtualLoop
from tests.simulation.scenario import Scenario

if TYPE_CHECKING:
    from tests.simulation.share import Share
    from tests.simulation.worker import Worker

_CALLS_SECONDS = 20.0
"""Longest wait for a commit and for the ends of a consumer, a producer and what else there is."""

_STUCK_SECONDS = 20.0
"""Longest time that an agent of a scenario goes on after it was cancelled, and is waited for."""

_IDLE_SECONDS = 1.5
"""What a drain may take after the last attempt and the last acknowledgement."""

_COMMITS_AFTER_DEADLINE = 4
"""Commits that a member may begin when the deadline for one that succeeds is over."""

_LONGEST_PAUSE = 1.5
"""A member that has something to commit asks again sooner after an answer, in intervals."""


class Stops:
    """Follows what workers do when they have to give partitions back, or to end.

    Args:
        scenario: the deadlines.
        loop: tells the time.
        complain: called when something takes too long.
        checks: how often each promise was checked.
    """

    def __init__(
        self,
        scenario: Scenario,
        loop: VirtualLoop,
        complain: Callable[[str], None],
        checks: Counter[str],
    ) -> None:
        self._scenario = scenario
        self._loop = loop
        self._complain = complain
        self._checks = checks
        self._told: set[str] = set()
        # Such workers may end by themselves; one that is about to end does not join again.
        self._may_end = any(stage.may_stop for stage in scenario.stages)
        self._busy_at: dict[str, float] = {}
        self._revoked_at: dict[str, float] = {}
        self._failing_since: dict[object, float] = {}
        self._answered_at: dict[object, float] = {}
        self._late_commits: Counter[object] = Counter()

    @property
    def longest_seconds(self) -> float:
        """Within this time a worker that was told to stop has to end, whatever happens."""
        shares, config = self._scenario.shares, self._scenario.config
        stuck = {Fault.STUBBORN, Fault.SLOW_THREAD} & shares.keys()
        return config.shutdown_drain_seconds + _CALLS_SECONDS + (_STUCK_SECONDS if stuck else 0.0)

    def busy_at(self, process: str) -> float:
        """When an attempt or a batch of a process last began or ended."""
        return self._busy_at.get(process, 0.0)

    def busy(self, process: str) -> None:
        """An attempt begins or ends, or a batch is sent or acknowledged."""
        self._busy_at[process] = self._loop.time()

    def drained(self, process: str, since: float, *, to_end: bool = False) -> None:
        """A drain has ended: it must not have waited while nothing was under way.

        A drain may wait for a retry that is due in time, and a stop or a rebalance meanwhile cuts
        it short.
        """
        if to_end:
            is_cut_short = self._may_end or self._revoked_at.get(process, since) > since
        else:
            self._revoked_at[process] = self._loop.time()
            is_cut_short = self._may_end or process in self._told
        if is_cut_short or not self._scenario.is_calm:
            return
        self._checks["drain"] += 1
        idle = self._loop.time() - max(since, self._busy_at.get(process, 0.0))
        longest = _IDLE_SECONDS + 4 * self._scenario.latency_seconds
        if idle > longest:
            self._complain(f"{process}: a drain went on for {idle:.1f} s with nothing under way")

    def told_to_stop(self, worker: "Worker") -> None:
        """A worker was told to stop; a frozen or blocked worker cannot notice that."""
        self._told.add(worker.name)
        now = self._loop.time()
        self._loop.call_later(self.longest_seconds, self._look_at, worker, worker.freezes, now)

    def committing(self, member: "Share") -> None:
        """A member asks for a commit."""
        pause = self._loop.time() - self._answered_at.get(member, self._loop.time())
        if pause > _LONGEST_PAUSE * self._scenario.config.commit_interval_seconds:
            self.joined(member)  # it had nothing to commit in between
            return
        if self._may_end or member.process in self._told:
            return
        since = self._failing_since.get(member)
        deadline = self._scenario.config.commit_deadline_seconds
        if since is None or self._loop.time() - since < deadline:
            return
        self._checks["commits given up"] += 1
        self._late_commits[member] += 1
        if self._late_commits[member] > _COMMITS_AFTER_DEADLINE:
            self._complain(f"{member} has not committed since {since:.1f}, and does not join anew")

    def committed(self, member: object, *, well: bool) -> None:
        """A commit was answered, or given up."""
        self._answered_at[member] = self._loop.time()
        if well:
            self.joined(member)
        else:
            self._failing_since.setdefault(member, self._loop.time())

    def fails_to_commit(self, member: object) -> bool:
        """Whether no commit of a member has succeeded since one failed."""
        return member in self._failing_since

    def joined(self, member: object) -> None:
        """A member joins again."""
        self._failing_since.pop(member, None)
        self._late_commits.pop(member, None)

    def _look_at(self, worker: "Worker", freezes: int, told_at: float) -> None:
        self._checks["stop"] += 1
        if worker.blocked_until > told_at:
            return
        if worker.is_crashed or worker.freezes != freezes or worker.is_cleared:
            return
        if worker.task is not None and not worker.task.done():
            self._complain(f"{worker.name} does not end within {self.longest_seconds:g} s")
