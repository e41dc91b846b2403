"""Checks the order of outputs: that of their inputs, where it is promised."""

from collections import Counter
from collections.abc import Callable

from streamapp.record import Record, TopicPartition
from tests.simulation.outcomes import Origin
from tests.simulation.workload import Agents


class Orders:
    """Follows the first occurrences of outputs.

    Args:
        agents: know what may come late.
        is_deleted: whether retention has deleted the input of an output.
        times_fetched: how often that was fetched.
        complain: called when an output stands behind one of a later input.
        checks: how often each promise was checked.
    """

    def __init__(
        self,
        agents: Agents,
        is_deleted: Callable[[Origin], bool],
        times_fetched: Callable[[Origin], int],
        complain: Callable[[str], None],
        checks: Counter[str],
    ) -> None:
        self._agents = agents
        self._is_deleted = is_deleted
        self._times_fetched = times_fetched
        self._complain = complain
        self._checks = checks
        self._latest: dict[tuple[object, ...], tuple[int, int]] = {}
        self._lost: set[tuple[str, bytes]] = set()

    def not_written(self, topic: str, value: bytes) -> None:
        """An output was lost, so it may be written behind later ones."""
        self._lost.add((topic, value))

    def check(self, told: str, target: TopicPartition, record: Record, origin: Origin) -> None:
        """The first occurrences of a key's outputs must have the order of their inputs."""
        ordering = origin.part.ordering
        if ordering == "unordered" or (ordering == "key" and origin.key is None):
            return
        key = origin.key if ordering == "key" else None
        lane = (target, origin.part.group, origin.partition, key)
        here = (origin.offset, origin.place)
        before = self._latest.get(lane, here)
        self._checks["order"] += 1
        if here < before and not self._may_be_late(target, record, origin):
            self._complain(
                f"{told} of input offset {origin.offset} stands behind one of {before[0]}"
            )
        self._latest[lane] = max(before, here)

    def _may_be_late(self, target: TopicPartition, record: Record, origin: Origin) -> bool:
        """Whether a later record may come first: its batch was lost, or it had been given up.

        A record that failed for good can succeed when it is read again; one that is retried later
        gives its place up; and one that retention has deleted is not worked on again.
        """
        agents = self._agents
        if (target.topic, record.value or b"") in self._lost or self._is_deleted(origin):
            return True
        if origin.out_key is None and self._times_fetched(origin) > 1:
            return True  # each time it goes to a partition of its own
        if agents.scenario.stages[origin.part.first].gives_keys_up:
            return True
        return any(
            agents.plan(*step).may_fail or step in agents.tainted or agents.may_wait(*step)
            for step in origin.way
        )
