"""What follows when a worker process has ended: pure rules."""

import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from streamapp.policies.backoff import Backoff


@dataclass(frozen=True, slots=True)
class Again:
    """Start it again after so long."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """It has done what it was to do."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Another start would not mend it: the others are drained, and this is the exit code."""

    exit_code: int


Next: TypeAlias = Again | Finished | GiveUp


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a worker is started again.

    Attributes:
        hopeless: exit codes that another start would not mend, with their names.
        ends_by_itself: whether exit code 0 is the end of the work, as with `--until-end`.
        backoff: waits between starts.
        steady_seconds: a worker that ran for so long has no failures behind it.
    """

    hopeless: Mapping[int, str] = field(default_factory=dict)
    ends_by_itself: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(base_seconds=0.5, max_seconds=30.0))
    steady_seconds: float = 60.0


class Restarts:
    """The ends of one worker so far.

    Args:
        policy: when it is started again.
        rng: jitter of the waits.

    Attributes:
        count: how often it was started again, or is about to be.
    """

    def __init__(self, policy: RestartPolicy, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._failures = 0
        self.count = 0

    def after(self, exit_code: int, *, ran_seconds: float, any_was_up: bool) -> Next:
        """What follows on an end that nobody asked for.

        Args:
            exit_code: of the process; negative for a signal.
            ran_seconds: how long the process lived.
            any_was_up: whether a worker of this supervisor has ever got to work. Before that, an
                exit code of any kind is told to the caller, who may have named a wrong address.
        """
        policy = self._policy
        if exit_code == 0 and policy.ends_by_itself:
            return Finished()
        if exit_code in policy.hopeless or (exit_code > 0 and not any_was_up):
            return GiveUp(exit_code)
        if ran_seconds >= policy.steady_seconds:
            self._failures = 0
        self._failures += 1
        self.count += 1
        return Again(policy.backoff.delay_seconds(self._failures, self._rng))


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
