"""Tells of failures that a combinator makes good for, which no policy gets to see."""

import logging

log = logging.getLogger(__name__)

MOST_CAUSES = 100
"""At most so many different causes are told; an agent seldom has more than a few."""


class Outages:
    """Logs the first failure of each cause, without the message: that may quote the record.

    Args:
        where: the combinator, such as `fallback 'a-else-b'`.
        instead: what happens then, such as `another agent answers`.
    """

    def __init__(self, where: str, instead: str) -> None:
        self._where = where
        self._instead = instead
        self._told: set[tuple[str, str]] = set()

    def tell(self, part: str, error: Exception) -> None:
        """Log it, if this part has not failed with such an error before."""
        cause = part, type(error).__qualname__
        if cause in self._told or len(self._told) >= MOST_CAUSES:
            return
        self._told.add(cause)
        log.warning("%s: agent %r fails with %s; %s", self._where, *cause, self._instead)
