"""What is still known of a worker that does not answer: its counts, and why it is silent."""

from streamapp.observability.causes import Cause, Level
from streamapp.observability.figures_report import PartitionReport
from streamapp.observability.readable import age
from streamapp.observability.stage_report import StageReport, StatusReport


def silent(report: StatusReport, wall: float) -> StatusReport:
    """A report that a worker gave before it fell silent, as it can be shown now.

    Args:
        report: the last one.
        wall: seconds since the epoch.
    """
    why = f"its worker does not answer; this is as it was {age(wall - report.at)} ago"
    stages = tuple(_silent_stage(one, why) for one in report.stages)
    return report.model_copy(update={"workers": 0, "stages": stages})


_CHANGING = (
    "finished_per_second",
    "lately",
    "lag",
    "lag_seconds",
    "in_flight",
    "in_flight_bytes",
    "running_attempts",
    "open_letters",
)
"""Figures that are another a moment later; counts since the start are at least what they were."""


def _silent_stage(stage: StageReport, why: str) -> StageReport:
    # A blocked event loop answers nobody: what was seen last of it says why the worker is silent.
    blocked = tuple(one for one in stage.findings if one.cause == Cause.LOOP_BLOCKED)
    judged = {"ok": None, "level": Level.UNKNOWN.value, "reason": why, "findings": blocked}
    assigned = tuple(map(_silent_partition, stage.assigned))
    changes = {**dict.fromkeys(_CHANGING), **judged, "assigned": assigned, "waiting": 0}
    changes["members"] = ()  # which of them take calls is not known
    return stage.model_copy(update=changes)


def _silent_partition(partition: PartitionReport) -> PartitionReport:
    return partition.model_copy(update={"lag": None, "lag_seconds": None})
