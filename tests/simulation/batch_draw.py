"""Which stage takes batches, and which, as drawn."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

_NO_BATCH = 0.82
_LARGEST_BATCH = 7


@dataclass(frozen=True, slots=True)
class BatchDraw:
    """How an agent takes batches.

    Attributes:
        size: of a batch, at most.
        linger_seconds: how long its first record waits for others.
        fails_whole: whether a call fails if one of its values does.
    """

    size: int
    linger_seconds: float
    fails_whole: bool


def draw_batch(seed: int, rooms: Sequence[int]) -> tuple[int, BatchDraw] | None:
    """Which of some stages takes batches, and how; `None` for none.

    Drawn apart from the rest: all other draws of a seed stay what they were.

    Args:
        seed: the seed.
        rooms: how many records each of the stages may have in flight.
    """
    rng = random.Random(f"batch {seed}")
    if rng.random() < _NO_BATCH or not rooms:
        return None
    place = rng.randrange(len(rooms))
    size = rng.randint(1, max(1, min(_LARGEST_BATCH, rooms[place] // 2)))
    return place, BatchDraw(size, rng.choice((0.0, 0.05, 0.5)), fails_whole=rng.random() < 0.2)
