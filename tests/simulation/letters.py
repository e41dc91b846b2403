"""Checks dead letters: which records may become one, what it says, and when they failed."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from streamapp.policies.policy import ErrorPolicy
from streamapp.record import Headers, Record
from tests.simulation.faults import Fault
from tests.simulation.holds import Holds
from tests.simulation.outcomes import ERROR_PREFIX, Origin, Part, text
from tests.simulation.waits import Waits
from tests.simulation.workload import Agents

_TICK_SECONDS = 0.002
"""Times in headers are whole milliseconds."""


class Letters:
    """Checks each dead letter.

    Args:
        agents: know what may fail, and when it has failed.
        waiting_for: how many records have this key.
        may_be_full: whether a segment may have had as much in flight as it may.
        complain: called when a promise is broken.
        checks: how often each promise was checked.
        waits: knows what has waited in retry topics.

    Attributes:
        holds: says when stages held their records.
        given_up: stages and values that became dead letters because of other records of their key.
    """

    def __init__(
        self,
        agents: Agents,
        waiting_for: Callable[[bytes | None], int],
        may_be_full: Callable[[Part], bool],
        complain: Callable[[str], None],
        checks: Counter[str],
        waits: Waits,
    ) -> None:
        self.holds: Holds | None = None
        self.given_up: set[tuple[int, str]] = set()
        self._agents = agents
        self._waiting_for = waiting_for
        self._may_be_full = may_be_full
        self._complain = complain
        self._checks = checks
        self._waits = waits

    def check(self, told: str, record: Record, origins: Sequence[Origin]) -> None:
        """Check a dead letter that was written."""
        self._checks["letter"] += 1
        facts = self.check_facts(told, record, origins)
        if facts["reason"] == "backlog":
            self._check_backlog(told, record, origins[0], facts)
        value = text(record.value)
        stage = int(facts["stage"].removeprefix("s"))
        if self.holds is not None:
            self.holds.letter(told, stage, value, facts)
        if value is None:
            return
        place = (stage, value)
        allowed = self._agents.plan(*place).may_fail or place in self._agents.tainted
        last_word = self._agents.scenario.stages[stage].last_word
        if not allowed or (last_word is not ErrorPolicy.DEAD_LETTER and place not in self.given_up):
            self._complain(f"{told} is no dead letter")
        self._check_waited(told, place, facts)

    def check_facts(
        self, told: str, record: Record, origins: Sequence[Origin]
    ) -> Mapping[str, str]:
        """Check the error headers of a dead letter or of a record that waits; return them."""
        facts = facts_of(record.headers)
        named = (facts["topic"], facts["partition"], facts["offset"])
        if named not in [origin.first for origin in origins]:
            self._complain(f"{told} names {named} as its source")
        self._check_times(told, text(record.value), facts)
        return facts

    def _check_waited(self, told: str, place: tuple[int, str], facts: Mapping[str, str]) -> None:
        """A record that is retried later may be given up only after its last delay."""
        agents = self._agents
        if not agents.plan(*place).may_wait or place in agents.tainted or place in self.given_up:
            return
        self._checks["waited"] += 1
        least = 1 + len(agents.scenario.stages[place[0]].delays)
        if not self._waits.have_used_up(*place) or int(facts["attempts"]) < least:
            self._complain(f"{told} was given up after {facts['attempts']} attempts, too early")

    def _check_times(self, told: str, value: str | None, facts: Mapping[str, str]) -> None:
        """The number and the times of failed attempts must be those that it says."""
        first, last = int(facts["first_failure"]) / 1000, int(facts["last_failure"]) / 1000
        if first > last:
            self._complain(f"{told} failed first at {first} and last at {last}")
        if value is None:
            return
        place = (int(facts["stage"].removeprefix("s")), value)
        if self._agents.scenario.stages[place[0]].parts is not None:
            return  # it is told when its other parts have ended
        late = {Fault.SLOW_THREAD, Fault.STUBBORN, Fault.BURN} & self._agents.scenario.shares.keys()
        if late or place in self._agents.tainted or facts["reason"] == "backlog":
            return  # it is told of the failure later than it happens
        self._checks["times of a letter"] += 1
        times = self._agents.failed_at[place]
        within = [t for t in times if first - _TICK_SECONDS <= t <= last + _TICK_SECONDS]
        if len(within) < int(facts["attempts"]) or abs(within[0] - first) > _TICK_SECONDS:
            self._complain(
                f"{told} says that {facts['attempts']} attempts failed from {first} to {last}, and"
                f" they failed at {times}"
            )

    def _check_backlog(
        self, told: str, record: Record, origin: Origin, facts: Mapping[str, str]
    ) -> None:
        """A record may be given up because of others of its key, if its stage allows that."""
        head = self._agents.scenario.stages[origin.part.first]
        self._agents.fired[Fault.BACKLOG] += 1
        # What waits for retries may also have kept others from being read; see `Starvation`.
        is_of_key = head.ordering == "key" and (
            self._waiting_for(origin.key) > head.max_key_backlog_records
        )
        if not head.gives_keys_up or not (is_of_key or self._may_be_full(origin.part)):
            self._complain(f"{told} was given up because of others")
        if (value := text(record.value)) is not None:
            stage = int(facts["stage"].removeprefix("s"))
            self._agents.tainted.add((stage, value))
            self.given_up.add((stage, value))


def facts_of(headers: Headers) -> Mapping[str, str]:
    """The error headers of a dead letter, by the last word of each name."""
    own = [(name, content) for name, content in headers if name.startswith(ERROR_PREFIX)]
    return {name.removeprefix(ERROR_PREFIX): content.decode() for name, content in own}
