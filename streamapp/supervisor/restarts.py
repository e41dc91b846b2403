"""Decides what the supervisor does when a worker process has ended. Pure, without I/O."""

import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from streamapp.policies.backoff import Backoff


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the worker again after `delay_seconds`."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The worker has done its work; do not start it again."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A restart would fail again: drain the other workers and exit with this code."""

    exit_code: int


Decision: TypeAlias = Restart | Finished | GiveUp


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a worker is started again.

    Attributes:
        not_restarted: exit codes after which a restart would fail again, with their names.
        ends_by_itself: whether exit code 0 means that the work is done, as with `--until-end`.
        backoff: waits before restarts.
        silent_seconds: a worker whose event loop has not shown for so long that it runs is silent.
        replaced_seconds: a worker that is silent for so long is killed, and so started again.
        start_seconds: a worker that is not up after this time is killed, and so started again.
        steady_seconds: after a run of this length, earlier failures no longer count.
    """

    not_restarted: Mapping[int, str] = field(default_factory=dict)
    ends_by_itself: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(base_seconds=0.5, max_seconds=30.0))
    steady_seconds: float = 60.0
    silent_seconds: float = 10.0
    replaced_seconds: float = 60.0
    start_seconds: float = 300.0


class Restarts:
    """Counts the restarts of one worker.

    Args:
        policy: when the worker is started again.
        rng: jitter of the waits.

    Attributes:
        count: number of restarts, the next one included.
    """

    def __init__(self, policy: RestartPolicy, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._failures = 0
        self.count = 0

    def decide(self, exit_code: int, *, ran_seconds: float, any_was_up: bool) -> Decision:
        """Decide what to do after a process ended without being asked to.

        Args:
            exit_code: exit code of the process, negative for a signal.
            ran_seconds: how long the process was up.
            any_was_up: whether any worker of this supervisor has ever been up. If not, every
                failure is final: the address of Kafka may be wrong.
        """
        policy = self._policy
        if exit_code == 0 and policy.ends_by_itself:
            return Finished()
        if exit_code in policy.not_restarted or (exit_code > 0 and not any_was_up):
            return GiveUp(exit_code)
        if ran_seconds >= policy.steady_seconds:
            self._failures = 0
        self._failures += 1
        self.count += 1
        return Restart(policy.backoff.delay_seconds(self._failures, self._rng))


def how_it_ended(exit_code: int, names: Mapping[int, str] | None = None) -> str:
    """An exit code in words: `was killed by SIGKILL`, `ended with exit code 5 (STAGE_STOPPED)`."""
    if exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        return f"was killed by {name}"
    name = (names or {}).get(exit_code, "")
    return f"ended with exit code {exit_code}" + (f" ({name})" if name else "")
