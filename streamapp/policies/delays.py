"""The delays of `retry_later`: what they may be, and their names in the names of retry topics."""

import math
from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

from streamapp.errors import PipelineError

MAX_DELAYS = 10
"""Each delay has a topic of its own, whose partitions every worker of the stage reads."""

LONGEST_DELAY_SECONDS = 7 * 24 * 3600.0
"""A record waits in a topic meanwhile, and must not be deleted there."""

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_EXAMPLE = "give seconds or timedeltas, as in retry_later([10, 60, 600])"


def checked_delays(delays: object) -> tuple[float, ...]:
    """The delays in seconds.

    Args:
        delays: seconds or timedeltas: at least one, rising, above zero, whole milliseconds.

    Raises:
        PipelineError: they are none of that.
    """
    if isinstance(delays, str | bytes) or not isinstance(delays, Iterable):
        raise PipelineError(f"retry_later({delays!r}): delays are a list; {_EXAMPLE}")
    seconds = tuple(_seconds(delay) for delay in delays)
    if not 1 <= len(seconds) <= MAX_DELAYS:
        raise PipelineError(
            f"retry_later: there are {len(seconds)} delays; give at least one and at most"
            f" {MAX_DELAYS}, as each has a topic of its own"
        )
    for shorter, longer in pairwise(seconds):
        if longer <= shorter:
            raise PipelineError(
                f"retry_later: delays not ascending: {longer:g} s follows {shorter:g} s; sort them,"
                " and name each once"
            )
    return seconds


def delay_name(seconds: float) -> str:
    """A delay as names of topics have it, in the largest unit that is whole: `10s`, `1m`, `36h`."""
    milliseconds = round(seconds * 1000)
    unit, size = next(one for one in _UNITS if milliseconds % one[1] == 0)
    return f"{milliseconds // size}{unit}"


def _seconds(delay: object) -> float:
    if isinstance(delay, timedelta):
        delay = delay.total_seconds()
    if isinstance(delay, bool) or not isinstance(delay, int | float):
        raise PipelineError(f"retry_later: the delay {delay!r} is no number; {_EXAMPLE}")
    if not (0 < delay < math.inf):
        raise PipelineError(f"retry_later: a delay of {delay} s; give finite ones above zero")
    if delay > LONGEST_DELAY_SECONDS:
        raise PipelineError(
            f"retry_later: a delay of {delay:g} s is longer than {LONGEST_DELAY_SECONDS:g} s (7"
            " days), for which a retry topic keeps its records; give a shorter one"
        )
    if abs(delay * 1000 - round(delay * 1000)) > 1e-6 or delay < 0.001:  # noqa: PLR2004 - one ms
        raise PipelineError(
            f"retry_later: a delay of {delay!r} s has parts of a millisecond; round it"
        )
    return float(delay)
