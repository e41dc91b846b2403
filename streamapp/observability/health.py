"""Health and readiness of a stage, computed from its counters and the time.

The result is right only if the runtime keeps these rules:

- write `StageMetrics.last_progress_at` when records finish, and when lag goes from zero
  to positive; a rebalance is neither. `progress.ProgressWatch` does exactly this;
- write `PartitionMetrics.lag_records` at least once a second, so that a stall is seen within
  that second, and set it to `None` while it cannot be measured;
- write `PartitionMetrics.last_progress_at` when records of the partition finish, and when lag
  appears;
- remove the `PartitionMetrics` of revoked partitions, and count `rebalances` for each assignment,
  an empty one included;
- set `StageMetrics.cut_off_since` when partitions are revoked and when the broker does not answer,
  and clear it when they are assigned and when it answers;
- set `StageMetrics.state` to `FAILED` before a failed stage ends.

Each partition must make progress: some of its records must finish, in any order. If a single record
keeps the frontier back, `streamapp_partition_blocked` and `streamapp_lag_seconds` show it.
"""

from dataclasses import dataclass

from streamapp.observability.stage_metrics import StageMetrics, StageState

READY_AFTER_SECONDS = 10.0
"""A rebalance that is shorter than this does not make a stage unready."""


@dataclass(frozen=True, slots=True)
class Health:
    """Healthy or not, and why.

    Attributes:
        ok: whether it is healthy.
        reason: one short clause for operators, also if it is healthy.
    """

    ok: bool
    reason: str


def stage_health(metrics: StageMetrics, now: float, stall_after_seconds: float) -> Health:
    """Whether the stage is healthy: a stage with lag must make progress.

    Args:
        metrics: the stage's counters.
        now: monotonic seconds of the clock that `last_progress_at` was written with.
        stall_after_seconds: how long a stage with lag may go without progress.
    """
    if metrics.state not in (StageState.RUNNING, StageState.DRAINING):
        return Health(ok=metrics.state is not StageState.FAILED, reason=metrics.state)
    cut_off_seconds = _cut_off_seconds(metrics, now)
    if cut_off_seconds >= stall_after_seconds:
        return Health(ok=False, reason=_cut_off(cut_off_seconds))
    lags = [partition.lag_records for partition in metrics.partitions.values()]
    lag = sum(known or 0 for known in lags)
    if not lag:
        held = "no lag" if lags else "no partitions assigned"
        held = "lag not known" if None in lags else held
        held = _cut_off(cut_off_seconds) if cut_off_seconds else held
        return Health(ok=True, reason=f"{metrics.state}, {held}")
    stalled = _stage_stalled(metrics, now, stall_after_seconds) or _partition_stalled(
        metrics, now, stall_after_seconds
    )
    if stalled is not None:
        return Health(ok=False, reason=stalled)
    return Health(ok=True, reason=f"{metrics.state}, lag of {lag} records")


def _stage_stalled(metrics: StageMetrics, now: float, stall_after_seconds: float) -> str | None:
    """Why the stage as a whole makes no progress; `None` if it does."""
    lag = sum(partition.lag_records or 0 for partition in metrics.partitions.values())
    if metrics.last_progress_at is None:
        # Impossible if the runtime keeps the rules above; else it would stay healthy for ever.
        return f"lag of {lag} records and no progress ever recorded"
    still_seconds = now - metrics.last_progress_at
    if still_seconds < stall_after_seconds:
        return None
    return f"lag of {lag} records and no progress for {still_seconds:.0f} s"


def _partition_stalled(metrics: StageMetrics, now: float, stall_after_seconds: float) -> str | None:
    """The partition that has gone without progress for longest, if that is too long."""
    since = {
        name: partition.last_progress_at
        for name, partition in metrics.partitions.items()
        if partition.lag_records and partition.last_progress_at is not None
    }
    if not since:
        return None
    name = min(since, key=lambda name: since[name])
    still_seconds = now - since[name]
    if still_seconds < stall_after_seconds:
        return None
    lag = metrics.partitions[name].lag_records
    return (
        f"{name.topic}[{name.partition}]: lag of {lag} records and no progress for"
        f" {still_seconds:.0f} s"
    )


def stage_readiness(metrics: StageMetrics, now: float) -> Health:
    """Whether the stage is ready: it runs and has received an assignment from its group.

    An empty assignment counts, so a spare worker is ready. A draining stage is not ready, because
    it takes no more records.
    """
    if metrics.state is not StageState.RUNNING:
        return Health(ok=False, reason=metrics.state)
    if not metrics.rebalances:
        return Health(ok=False, reason="waiting for its first assignment")
    cut_off_seconds = _cut_off_seconds(metrics, now)
    if cut_off_seconds >= READY_AFTER_SECONDS:
        return Health(ok=False, reason=_cut_off(cut_off_seconds))
    return Health(ok=True, reason="running")


def _cut_off_seconds(metrics: StageMetrics, now: float) -> float:
    since = metrics.cut_off_since
    return 0.0 if since is None else max(0.0, now - since)


def _cut_off(seconds: float) -> str:
    return f"out of its group, or Kafka does not answer, for {seconds:.0f} s"
