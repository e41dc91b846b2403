"""Which stage lets failed records wait in retry topics, and how long, as drawn."""

import random
from dataclasses import dataclass

_NO_DELAYS = 0.82


@dataclass(frozen=True, slots=True)
class DelaysOfRun:
    """The stage of a run whose failed records wait in retry topics.

    Attributes:
        stage: its number.
        delays: how long records wait in each topic, in seconds.
        retries: how often a record is tried again at once, each time.
    """

    stage: int
    delays: tuple[float, ...]
    retries: int


def draw_delays(seed: int, stages: int) -> DelaysOfRun | None:
    """The delays of one stage of a run, or of none.

    Drawn apart from the rest: all other draws of a seed stay what they were.
    """
    rng = random.Random(f"delays {seed}")
    if rng.random() < _NO_DELAYS:
        return None
    delays = sorted(rng.sample((0.5, 2.0, 5.0, 12.0), rng.choice((1, 2, 2, 3))))
    return DelaysOfRun(rng.randrange(stages), tuple(delays), rng.choice((0, 0, 1)))
