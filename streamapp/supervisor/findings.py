"""What is wrong with the workers of a supervisor."""

from collections.abc import Iterator, Sequence

from streamapp.observability.causes import Cause
from streamapp.observability.findings_report import FindingReport, finding_report
from streamapp.supervisor.restarts import how_it_ended
from streamapp.supervisor.slot import Slot, SlotState

_COMMAND = "streamapp status"

LATE_SECONDS = 5.0
"""A worker at work may answer late; one that has not answered for so long does not."""


def worker_findings(
    slots: Sequence[Slot], now: float, wall_less_monotonic: float
) -> Iterator[FindingReport]:
    """The workers that are silent, and those that have ended and were or will be started again.

    Args:
        slots: the workers.
        now: monotonic seconds.
        wall_less_monotonic: seconds from a monotonic reading to seconds since the epoch.
    """
    for slot in slots:
        since = slot.answered_at
        is_late = since is None or now - since > LATE_SECONDS
        if slot.state is SlotState.UP and (slot.is_silent or is_late):
            told = f"worker {slot.number} does not answer, process {_pid(slot)}"
            heard_at = None if since is None else since + wall_less_monotonic
            yield finding_report(Cause.WORKER_SILENT, told, _COMMAND, since=heard_at)
        elif slot.is_gone(now):
            how = how_it_ended(slot.exit_code or 0)
            told = f"worker {slot.number} {how}, restart {slot.restarts.count}"
            ended_at = (slot.ended_at or now) + wall_less_monotonic
            yield finding_report(Cause.WORKER_GONE, told, _COMMAND, since=ended_at)


def _pid(slot: Slot) -> str:
    return "unknown" if slot.process is None else str(slot.process.pid)
