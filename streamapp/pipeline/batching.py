"""How records are put together for an agent that works on several at a time."""

import math
from dataclasses import dataclass
from typing import Any

from streamapp.errors import PipelineError

DEFAULT_LINGER_SECONDS = 0.05
"""Long enough that a busy stage fills its batches, and short enough that few notice it."""

LONGEST_LINGER_SECONDS = 30.0
"""Half of the time after which health takes a stage for stalled that finishes nothing."""


@dataclass(frozen=True, slots=True)
class Batching:
    """When a batch is full, and how long it waits to become so.

    Attributes:
        size: most items of a batch; a batch that has so many is worked on at once.
        linger_seconds: longest time that the first item of a batch waits for others.
    """

    size: int
    linger_seconds: float = DEFAULT_LINGER_SECONDS


def checked_batching(where: str, size: Any, linger_seconds: Any) -> Batching:
    """What `batch_agent` was given.

    Raises:
        PipelineError: it is out of range, or no number.
    """
    if type(size) is not int or size < 1:
        raise PipelineError(f"{where}: size={size!r}; give the most items of a batch, at least 1")
    is_number = isinstance(linger_seconds, int | float) and type(linger_seconds) is not bool
    if (
        not is_number
        or math.isnan(linger_seconds)
        or not 0 <= linger_seconds <= LONGEST_LINGER_SECONDS
    ):
        raise PipelineError(
            f"{where}: linger_seconds={linger_seconds!r}; give how long the first item of a batch"
            f" waits for others, from 0 to {LONGEST_LINGER_SECONDS:g} seconds"
        )
    return Batching(size, float(linger_seconds))
