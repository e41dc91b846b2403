"""Health and readiness of a stage, computed from its counters and the time.

What is unknown is not healthy: a stage that waits for its first assignment, whose lag was not
measured, or whose topic is gone, is unhealthy after the same time as one that makes no progress.
Until then it is not known whether it works, which is said.

The result is right only if the runtime keeps these rules:

- write `StageMetrics.last_progress_at` when records finish, and when lag goes from zero
  to positive; a rebalance is neither. `progress.ProgressWatch` does exactly this;
- write `PartitionMetrics.lag_records` at least once a second, so that a stall is seen within
  that second, and set it to `None` while it cannot be measured; tell `progress.ProgressWatch`,
  which writes `StageMetrics.lag_unknown_since`;
- write `PartitionMetrics.last_progress_at` when records of the partition finish, and when lag
  appears;
- write `PartitionMetrics.waits_until` when a partition of a retry topic is read no more until its
  next record is due, and nothing of it is worked on;
- write `PartitionMetrics.retry_due_at` when a record of it begins to wait for its next attempt;
- remove the `PartitionMetrics` of revoked partitions, and count `rebalances` for each assignment,
  an empty one included;
- set `StageMetrics.cut_off_since` when the stage starts, when partitions are revoked and when the
  broker does not answer, and clear it when they are assigned and when it answers;
- keep in `StageMetrics.topic_faults` which topics are gone, or have partitions that the stage does
  not use;
- set `StageMetrics.blocked_by` while a record that has blocked the event loop past the session of
  the group is assigned and not committed;
- set `StageMetrics.state` to `FAILED` before a failed stage ends, and `is_contained` if others of
  its bundle go on: as with a stage that holds its records, a restart would not help, so it is not
  ready, but healthy.

Each partition must make progress: some of its records must finish, in any order. If a single record
keeps the frontier back, `streamapp_partition_blocked` and `streamapp_lag_seconds` show it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from streamapp.observability.stage_metrics import StageMetrics, StageState

READY_AFTER_SECONDS = 10.0
"""A rebalance that is shorter than this does not make a stage unready."""

_CONTAINED = "failed; the others of its bundle go on"


@dataclass(frozen=True, slots=True)
class Health:
    """Healthy or not, and why.

    Attributes:
        ok: whether it is healthy.
        reason: one short clause for operators, also if it is healthy.
    """

    ok: bool
    reason: str


@dataclass(frozen=True, slots=True)
class StageHealth(Health):
    """Whether a stage is healthy, so that a restart would not help, and whether it works.

    Attributes:
        works: whether it does its work; `None` if that is not known now.
    """

    works: bool | None


def stage_health(metrics: StageMetrics, now: float, stall_after_seconds: float) -> StageHealth:
    """Whether the stage is healthy: it must know its lag, and make progress if there is any.

    Args:
        metrics: the stage's counters.
        now: monotonic seconds of the clock that `last_progress_at` was written with.
        stall_after_seconds: how long a stage may go without progress, or with an unknown lag.
    """
    if metrics.state in (StageState.STOPPED, StageState.FAILED):
        return _ended(metrics)
    doubts = list(_doubts(metrics, now))
    for seconds, reason in doubts:
        if seconds >= stall_after_seconds:
            return StageHealth(ok=False, reason=reason, works=False)
    if metrics.held_since is not None:  # a restart would not help
        return StageHealth(ok=True, reason=held_words(metrics, now), works=False)
    if (stalled := _stalled(metrics, now, stall_after_seconds)) is not None:
        return StageHealth(ok=False, reason=stalled, works=False)
    if doubts or metrics.state is StageState.STARTING:
        told = ", ".join([metrics.state.value, *(reason for _, reason in doubts[:1])])
        return StageHealth(ok=True, reason=told, works=None)
    return StageHealth(ok=True, reason=f"{metrics.state}, {_left(metrics, now)}", works=True)


def _ended(metrics: StageMetrics) -> StageHealth:
    has_failed = metrics.state is StageState.FAILED
    if metrics.is_contained:  # a restart of the worker would stop the others of the bundle as well
        return StageHealth(ok=True, reason=_CONTAINED, works=not has_failed)
    return StageHealth(ok=not has_failed, reason=metrics.state, works=not has_failed)


def _left(metrics: StageMetrics, now: float) -> str:
    """What there is to do."""
    lag, waiting = _lag_and_waiting(metrics, now)
    wait = f"{waiting} records wait for their retry" if waiting else ""
    if lag:
        told = f"lag of {lag} records" + (f", and {wait}" if wait else "")
        return told + _next_attempt(metrics, now)
    if wait:
        return wait
    if metrics.waits_for is not None:
        return f"waits for {metrics.waits_for}"
    return "no lag" if metrics.partitions else "no partitions assigned"


def _stalled(metrics: StageMetrics, now: float, stall_after_seconds: float) -> str | None:
    """Why the stage or a partition makes no progress; `None` if they do."""
    if metrics.state is StageState.STARTING:
        return None
    if metrics.blocked_by is not None:
        return metrics.blocked_by
    if not _lag_and_waiting(metrics, now)[0]:
        return None
    return stage_stalled(metrics, now, stall_after_seconds) or partition_stalled(
        metrics, now, stall_after_seconds
    )


def _next_attempt(metrics: StageMetrics, now: float) -> str:
    """When a record that waits in process is tried again, if it is the last to be tried."""
    due = max((own.retry_due_at or 0.0 for own in metrics.partitions.values()), default=0.0)
    return f", an attempt is repeated in {due - now:.0f} s" if due > now else ""


def _lag_and_waiting(metrics: StageMetrics, now: float) -> tuple[int, int]:
    """Records to be done, as far as that is known, and those that wait for their retry."""
    lag = sum(p.lag_records or 0 for p in metrics.partitions.values())
    waiting = sum(p.lag_records or 0 for p in metrics.partitions.values() if p.is_waiting(now))
    return lag - waiting, waiting


def _doubts(metrics: StageMetrics, now: float) -> Iterator[tuple[float, str]]:
    """For how long what is unknown or wrong, causes before their effects."""
    for fault in sorted(metrics.topic_faults.values(), key=lambda fault: fault.since):
        seconds = max(0.0, now - fault.since)
        yield seconds, f"{fault.reason}, for {seconds:.0f} s"
    if seconds := cut_off_seconds(metrics, now):
        yield seconds, cut_off_words(metrics, seconds)
    unknown = [name for name, own in metrics.partitions.items() if own.lag_records is None]
    if unknown:
        since = metrics.lag_unknown_since
        # Never `None` if the runtime keeps the rules above; else it would stay healthy for ever.
        seconds = math.inf if since is None else max(0.0, now - since)
        topic, partition = min(unknown)
        yield seconds, f"lag of {topic}[{partition}] not known for {seconds:.0f} s"


def stage_stalled(metrics: StageMetrics, now: float, stall_after_seconds: float) -> str | None:
    """Why the stage as a whole makes no progress; `None` if it does."""
    partitions = [own for own in metrics.partitions.values() if not own.is_waiting(now)]
    lag = sum(partition.lag_records or 0 for partition in partitions)
    if metrics.last_progress_at is None:
        # Impossible if the runtime keeps the rules above; else it would stay healthy for ever.
        return f"lag of {lag} records and no progress ever recorded"
    became_due_at = [due for own in partitions if (due := own.due_at) is not None]
    still_seconds = now - max(metrics.last_progress_at, *became_due_at, -math.inf)
    if still_seconds < stall_after_seconds:
        return None
    return f"lag of {lag} records and no progress for {still_seconds:.0f} s"


def partition_stalled(metrics: StageMetrics, now: float, stall_after_seconds: float) -> str | None:
    """The partition that has gone without progress for longest, if that is too long."""
    since = {
        name: max(partition.last_progress_at, partition.due_at or -math.inf)
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
        reason = _CONTAINED if metrics.is_contained else metrics.state
        return Health(ok=False, reason=reason)
    if not metrics.rebalances:
        return Health(ok=False, reason="waiting for its first assignment")
    seconds = cut_off_seconds(metrics, now)
    if seconds >= READY_AFTER_SECONDS:
        return Health(ok=False, reason=cut_off_words(metrics, seconds))
    if metrics.held_since is not None:
        return Health(ok=False, reason=held_words(metrics, now))
    return Health(ok=True, reason="running")


def held_words(metrics: StageMetrics, now: float) -> str:
    """Since when records are held, why, and when the next attempt is made."""
    seconds = now - (metrics.held_since or now)
    next_probe = max(0.0, (metrics.next_probe_at or now) - now)
    return (
        f"records are held for {seconds:.0f} s, because {metrics.held_reason}; next attempt in"
        f" {next_probe:.0f} s"
    )


def cut_off_seconds(metrics: StageMetrics, now: float) -> float:
    """For how long the stage is no member of its group, or Kafka does not answer; else 0."""
    since = metrics.cut_off_since
    return 0.0 if since is None else max(0.0, now - since)


def cut_off_words(metrics: StageMetrics, seconds: float) -> str:
    """That it is so, in one clause."""
    if not metrics.rebalances:
        return f"no assignment from its group for {seconds:.0f} s"
    return f"out of its group, or Kafka does not answer, for {seconds:.0f} s"
