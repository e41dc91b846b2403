"""Tracks when a stage last made progress, for the health rules.

A stage without records may be healthy for hours, so the time since a record last finished is not
enough. The watch also notes when lag appears. It does not count a rebalance as progress: a group
that rebalances for ever is stuck.
"""

from collections.abc import Collection

from streamapp.clock import Clock
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition


class ProgressWatch:
    """Writes `StageMetrics.last_progress_at` by the rules in `health`.

    The runtime calls it after each batch of acknowledgements, each measurement of lag and each
    assignment; never for each record.
    """

    def __init__(self, metrics: StageMetrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._had_lag = False
        self._held_partitions = False

    def finished(self, partition: TopicPartition) -> None:
        """Note that records of a partition have finished, in any order."""
        now = self._clock.monotonic()
        self._metrics.last_progress_at = now
        if measured := self._metrics.partitions.get(partition):
            measured.last_progress_at = now

    def lag_measured(self) -> None:
        """Note that the lags in `metrics.partitions` were just written.

        When lag appears, the time without progress starts. Records that wait in a retry topic until
        they are due count as no lag until then. While lag is unknown (`None`, after an
        assignment or while the broker does not answer), the earlier state is kept, and the time
        with an unknown lag runs.
        """
        now = self._clock.monotonic()
        lags: list[int | None] = []
        for partition in self._metrics.partitions.values():
            lag = partition.lag_records
            if lag and partition.is_waiting(now):
                lag = 0
            lags.append(lag)
            if lag is None:
                continue
            if not lag:
                partition.last_progress_at = None
            elif partition.last_progress_at is None:
                partition.last_progress_at = now
        if any(lags):
            if not self._had_lag:
                self._metrics.last_progress_at = now
            self._had_lag = True
        elif lags and None not in lags:
            self._had_lag = False
        self._note_unknown(is_unknown=None in lags)

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Note an assignment; call it before the first lag of its partitions is known.

        If the previous assignment was empty, the time without progress starts afresh. The
        revocation between two assignments does not count as an empty one. The time with an unknown
        lag goes on over assignments, until every lag is known.
        """
        if not self._held_partitions:
            self._had_lag = False
        self._held_partitions = bool(partitions)
        self._note_unknown(is_unknown=self._held_partitions)

    def _note_unknown(self, *, is_unknown: bool) -> None:
        if not is_unknown:
            self._metrics.lag_unknown_since = None
        elif self._metrics.lag_unknown_since is None:
            self._metrics.lag_unknown_since = self._clock.monotonic()
