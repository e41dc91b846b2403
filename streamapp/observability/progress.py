"""When a stage last made progress: the one instant that the health rules stand on.

A stage may be quiet for hours and healthy, so the time since its records last finished says
nothing by itself. The watch therefore also counts the moment at which lag appears, and it does
not let a rebalance pass for progress: a group that rebalances for ever is stuck.
"""

from collections.abc import Collection

from streamapp.clock import Clock
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition


class ProgressWatch:
    """Keeps `StageMetrics.last_progress_at` as `health.stage_health` needs it.

    The runtime calls it for each batch of acknowledgements, each look at the end offsets and
    each assignment; nothing here is called for each record.
    """

    def __init__(self, metrics: StageMetrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._had_lag = False
        self._held_partitions = False

    def finished(self, partition: TopicPartition) -> None:
        """Records of a partition are finished, in their order or not."""
        now = self._clock.monotonic()
        self._metrics.last_progress_at = now
        if measured := self._metrics.partitions.get(partition):
            measured.last_progress_at = now

    def lag_measured(self) -> None:
        """The lags in `metrics.partitions` were just written.

        Lag that appears where none was known to be starts the time that the stage has. Lag that
        is unknown (`None`, after an assignment or while the broker cannot be asked) says
        nothing, and what was known before stands.
        """
        for partition in self._metrics.partitions.values():
            if not partition.lag_records:
                partition.last_progress_at = None
            elif partition.last_progress_at is None:
                partition.last_progress_at = self._clock.monotonic()
        lags = [partition.lag_records for partition in self._metrics.partitions.values()]
        if any(lags):
            if not self._had_lag:
                self._metrics.last_progress_at = self._clock.monotonic()
            self._had_lag = True
        elif lags and None not in lags:
            self._had_lag = False

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """An assignment was received; call it before the first lag of the partitions is known.

        A member that held nothing, as told by its last assignment and not by the revocation in
        between, starts afresh.
        """
        if not self._held_partitions:
            self._had_lag = False
        self._held_partitions = bool(partitions)
