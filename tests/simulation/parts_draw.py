"""What the agent of a stage is made of, as drawn."""

import random
from dataclasses import dataclass

from tests.simulation.dependency import Dependency

_PLAIN = 0.7
_LONG_RUN = 0.2


@dataclass(frozen=True, slots=True)
class MemberDown:
    """A member of a pool that fails for a while.

    Attributes:
        member: number of the member.
        begins, ends: seconds since the start of the run.
    """

    member: int
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class PartsDraw:
    """A pool or branches.

    Attributes:
        capacities, weights: of the members of a pool; empty for branches.
        branches: number of branches; 0 for a pool.
        down: which member fails, and when; `None`: none does.
    """

    capacities: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    branches: int = 0
    down: MemberDown | None = None

    @property
    def is_even(self) -> bool:
        """Whether all members are alike, so that each gets work."""
        rooms = {c * w for c, w in zip(self.capacities, self.weights, strict=True)}
        return len(rooms) == 1

    def is_down(self, member: int, now: float, dependency: Dependency) -> bool:
        """Whether this member fails now."""
        down = self.down
        if down is None or dependency.is_mended or down.member != member:
            return False
        return down.begins <= now < down.ends


@dataclass(frozen=True, slots=True)
class PartsOfRun:
    """Which stage of a run has parts.

    Attributes:
        stage: its number.
        parts: what its agent is made of.
        seconds: how long faults happen; records come all this time. `None`: as drawn before.
    """

    stage: int
    parts: PartsDraw
    seconds: float | None


def draw_parts(seed: int, stages: int, seconds: float) -> PartsOfRun | None:
    """The parts of one stage of a run, or of none.

    Drawn apart from the rest: all other draws of a seed stay what they were.
    """
    rng = random.Random(f"parts {seed}")
    if rng.random() < _PLAIN:
        return None
    stage, is_pool = rng.randrange(stages), rng.random() < 0.6
    if not is_pool:
        return PartsOfRun(stage, PartsDraw(branches=rng.choice((2, 3))), None)
    is_long = rng.random() < _LONG_RUN
    seconds = 75.0 if is_long else seconds
    members = rng.choice((2, 3))
    capacities = tuple(rng.choice((1, 2, 4)) for _ in range(members))
    weights = tuple(rng.choice((1.0, 1.0, 2.0)) for _ in range(members))
    if is_long:
        capacities, weights = (capacities[0],) * members, (1.0,) * members
    begins = rng.uniform(0.2, 6.0)
    down = MemberDown(rng.randrange(members), begins, begins + rng.uniform(2.0, 8.0))
    has_down = is_long or rng.random() < 0.7
    parts = PartsDraw(capacities, weights, down=down if has_down else None)
    return PartsOfRun(stage, parts, seconds if is_long else None)
