"""Random numbers as a dependency: a run that is repeated with the same seed draws the same."""

import random
from contextlib import AbstractContextManager

from streamapp.in_use import InUse

_IN_USE: InUse[random.Random] = InUse("random", random.Random())  # noqa: S311 - jitter, not a secret


def current_random() -> random.Random:
    """The random numbers of the run that this code is part of."""
    return _IN_USE.get()


def random_in_use(rng: random.Random) -> AbstractContextManager[None]:
    """Make these the current ones of what is called, and of tasks that are created, within."""
    return _IN_USE.set(rng)
