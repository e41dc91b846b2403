"""Checks that failing records do not keep others from being read."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.holds import Holds
from tests.simulation.loop import VirtualLoop
from tests.simulation.scenario import Scenario
from tests.simulation.stage_draw import NO_BACKLOG

if TYPE_CHECKING:
    from tests.simulation.share import Share

LONGEST_IDLE_SECONDS = 3.0
"""A member may read nothing for so long while nothing is under way; the longest backoff is 15 s."""


class Starvation:
    """Follows members that only poll, although there is more to read.

    Args:
        scenario: whether failing records are declared to give way.
        loop: tells the time.
        busy_at: when an attempt or a batch of a process last began or ended.
        complain: called when records wait without need.
        checks: how often each promise was checked.

    Attributes:
        holds: says whether a member holds its records, and need not read on.
    """

    def __init__(
        self,
        scenario: Scenario,
        loop: VirtualLoop,
        busy_at: Callable[[str], float],
        complain: Callable[[str], None],
        checks: Counter[str],
    ) -> None:
        # A fault outside the agents can make a member wait, and so does the end of bounded work. A
        # stage that has stopped reads no more, while records before its end wait for their retries.
        stops = any(stage.may_stop for stage in scenario.stages)
        self._is_checked = scenario.is_calm and not scenario.until_end and not stops
        self._scenario = scenario
        self._loop = loop
        self._busy_at = busy_at
        self._complain = complain
        self._checks = checks
        self.holds: Holds | None = None
        self._reads_nothing_since: dict[object, float] = {}
        self._away: set[object] = set()

    def reads(self, member: "Share") -> None:
        """A member asks for records."""
        self._reads_nothing_since.pop(member, None)

    def away(self, member: "Share") -> None:
        """A member is giving its partitions back."""
        self._away.add(member)

    def is_away(self, member: "Share") -> bool:
        """Whether a member is giving its partitions back, or is without any."""
        return member in self._away

    def back(self, member: "Share") -> None:
        """A member has its partitions."""
        self._away.discard(member)
        self.reads(member)

    def polls(self, member: "Share", head: int, *, has_unread: bool) -> None:
        """A member polls without asking for records."""
        stage = self._scenario.stages[head]
        is_held = self.holds is not None and self.holds.held_since(member.process, head) is not None
        if not self._is_checked or member in self._away or not has_unread or is_held:
            self.reads(member)
            return
        if stage.max_key_backlog_records == NO_BACKLOG:
            return  # it is declared to wait
        if stage.ordering == "partition":
            return  # a failing record holds all others of its partition
        since = self._reads_nothing_since.setdefault(member, self._loop.time())
        idle = self._loop.time() - max(since, self._busy_at(member.process))
        self._checks["reads on"] += 1
        if idle > LONGEST_IDLE_SECONDS:
            self._complain(f"{member} has read nothing for {idle:.1f} s with nothing under way")
