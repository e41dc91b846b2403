"""How long an error asks to be left alone."""

import math
from datetime import timedelta

MOST_SECONDS = 3600.0
"""A longer wish counts as this: a mistaken header must not hold a stage for ever."""


def retry_after_seconds(error: BaseException) -> float:
    """The `retry_after` of an error in seconds, at most an hour; 0 if it has none that is usable.

    A number of seconds or a `timedelta`, as an agent took it from an answer.
    """
    try:
        asked = getattr(error, "retry_after", None)
        seconds = asked.total_seconds() if isinstance(asked, timedelta) else asked
        if isinstance(seconds, (int, float)) and not math.isnan(seconds):
            return float(min(max(seconds, 0.0), MOST_SECONDS))
    except Exception:  # noqa: BLE001 - a user's own attribute, which must not end the worker
        return 0.0
    return 0.0
