"""What the agents of a scenario depend on: when it is down, and what their stages do then."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from streamapp.errors import Transient
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import BeyondBudget, DeadLetterBudget

_NEVER_HELD = 0.4
_WELL = 0.25


class Kind(StrEnum):
    """What agents raise while their dependency is down."""

    WORLD = "world"  # errors that say so
    UNKNOWN = "unknown"  # errors that say nothing


@dataclass(frozen=True, slots=True)
class HoldDraw:
    """When a stage holds its records.

    Attributes:
        breaker: when it takes failures for an outage; `None`: never.
        max_hold_seconds: longest time for which it holds records; `None`: any.
        stops_after_hold: whether it stops then.
        budget: how many dead letters it may write; `None`: any number.
    """

    breaker: BreakerConfig | None = None
    max_hold_seconds: float | None = None
    stops_after_hold: bool = False
    budget: DeadLetterBudget | None = None

    @property
    def may_stop(self) -> bool:
        """Whether the stage may stop because of a hold."""
        stops = self.budget is not None and self.budget.then is BeyondBudget.STOP
        return stops or (self.max_hold_seconds is not None and self.stops_after_hold)

    @property
    def holds_as_long_as_it_takes(self) -> bool:
        """Whether no record may become a dead letter because of an outage of everything."""
        return self.breaker is not None and (self.max_hold_seconds is None or self.stops_after_hold)


NO_HOLD = HoldDraw()
"""A stage that never holds its records."""

DEFAULT_HOLD = HoldDraw(breaker=BreakerConfig())
"""A stage that holds its records as stages do by default."""


@dataclass(frozen=True, slots=True)
class Downtime:
    """An outage of what one stage depends on.

    Attributes:
        stage: number of the stage.
        begins, ends: seconds since the start of the run.
        kind: what its agent raises meanwhile.
        share: share of the keys that this is true for.
    """

    stage: int
    begins: float
    ends: float
    kind: Kind
    share: float

    @property
    def is_told(self) -> bool:
        """Whether all attempts fail with errors that say that the world is at fault."""
        return self.kind is Kind.WORLD and self.share == 1.0


def draw_holds(
    seed: int, stages: int, seconds: float
) -> tuple[tuple[HoldDraw, ...], Downtime | None]:
    """When the stages hold records, and what outage there is.

    Drawn apart from the rest: all other draws of a seed stay what they were.
    """
    rng = random.Random(f"holds {seed}")
    if rng.random() < _NEVER_HELD:
        return (NO_HOLD,) * stages, None
    holds = tuple(_hold(rng) for _ in range(stages))
    if rng.random() < _WELL:
        return holds, None
    begins = rng.uniform(0.2, 0.7 * seconds)
    kind, share = rng.choice(
        ((Kind.WORLD, 1.0), (Kind.WORLD, 1.0), (Kind.WORLD, 0.5), (Kind.UNKNOWN, 2 / 3))
    )
    ends = begins + rng.choice((2.0, 5.0, 15.0)) * rng.uniform(0.5, 1.5)
    return holds, Downtime(rng.randrange(stages), begins, ends, kind, share)


def _hold(rng: random.Random) -> HoldDraw:
    draws = rng.random() < 0.85, _breaker(rng), rng.random() < 0.15, rng.uniform(2.0, 8.0)
    has_breaker, breaker, is_bounded, longest = draws
    stops, budget = rng.random() < 0.4, _budget(rng)
    return HoldDraw(
        breaker=breaker if has_breaker else None,
        max_hold_seconds=longest if has_breaker and is_bounded else None,
        stops_after_hold=stops,
        budget=budget if rng.random() < 0.15 else None,
    )


def _breaker(rng: random.Random) -> BreakerConfig:
    first = rng.choice((0.2, 1.0))
    drawn = BreakerConfig(
        window_seconds=rng.choice((2.0, 30.0)),
        error_rate=rng.choice((0.3, 0.5)),
        minimum_calls=rng.choice((5, 20)),
        consecutive_failures=rng.choice((2, 4, 10)),
        distinct_keys=rng.choice((3, 8, 20)),
        first_probe_seconds=first,
        longest_probe_seconds=rng.choice((first, 5.0, 15.0)),
        successes_to_close=rng.choice((1, 3)),
    )
    return BreakerConfig() if rng.random() < 0.3 else drawn


def _budget(rng: random.Random) -> DeadLetterBudget:
    share, minimum_records = rng.choice((None, 0.3, 0.5)), rng.choice((3, 20))
    window_seconds, per_minute = rng.choice((2.0, 10.0)), rng.choice((None, 12, 40))
    then = rng.choice((BeyondBudget.HOLD, BeyondBudget.HOLD, BeyondBudget.STOP))
    if then is BeyondBudget.STOP:
        minimum_records = 20  # one record with three bad outputs would stop its stage at each start
    return DeadLetterBudget(
        share=share,
        minimum_records=minimum_records,
        window_seconds=window_seconds,
        per_minute=per_minute,
        then=then,
    )


@dataclass(slots=True)
class Dependency:
    """What the agents of a run depend on.

    Attributes:
        downtime: when it is down; `None`: never.
        is_mended: whether it is never down any more.
    """

    downtime: Downtime | None
    is_mended: bool = False
    _failures: int = field(default=0, init=False)

    def error_for(self, stage: int, key: bytes | None, value: str, now: float) -> Exception | None:
        """What an agent of this stage raises now, if anything."""
        down = self.downtime
        if down is None or self.is_mended or down.stage != stage:
            return None
        if not down.begins <= now < down.ends or not _is_hit(down, key or value.encode()):
            return None
        self._failures += 1
        errors = _ERRORS[down.kind]
        return errors[self._failures % len(errors)](f"{value}: it is down")


def _is_hit(down: Downtime, key: bytes) -> bool:
    digest = hashlib.blake2b(b"down " + key, digest_size=4).digest()
    return int.from_bytes(digest) / 2**32 < down.share


_ERRORS: dict[Kind, Sequence[type[Exception]]] = {
    Kind.WORLD: (OSError, TimeoutError, Transient),
    Kind.UNKNOWN: (RuntimeError, KeyError),
}
