"""Whether a Kafka cluster can be reached: one sentence when an outage begins, and one when it ends.

All clients of a process tell what became of their connects. The sentences have `outage` as an
extra, by which the handler of the log knows to leave out what clients say meanwhile
(`observability/outage_filter.py`).
"""

import logging

log = logging.getLogger(__name__)


class Reach:
    """What is known of the connections to one cluster.

    Args:
        address: its bootstrap servers.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._away_since: float | None = None
        self._nodes_away: set[object] = set()

    def failed(self, node: object, now: float, *, is_cut_off: bool) -> None:
        """Note a failed connect.

        Args:
            node: id of the node.
            now: monotonic seconds.
            is_cut_off: whether the client has no connection to any other node.
        """
        if not is_cut_off:
            if node not in self._nodes_away:
                self._nodes_away.add(node)
                log.warning("node %s of Kafka at %s cannot be reached", node, self._address)
            return
        if self._away_since is None:
            self._away_since = now
            # Both sentences have this level, so that who sees one of them sees the other.
            log.error(
                "Kafka at %s cannot be reached; connecting again until it answers",
                self._address,
                extra={"outage": "begins"},
            )

    def succeeded(self, node: object, now: float) -> None:
        """Note that a connect has succeeded.

        Args:
            node: id of the node.
            now: monotonic seconds.
        """
        self._nodes_away.discard(node)
        if self._away_since is not None:
            away_seconds, self._away_since = now - self._away_since, None
            log.error(
                "Kafka at %s answers again after %.0f s",
                self._address,
                away_seconds,
                extra={"outage": "ends"},
            )
