"""What is wrong with the workers of a supervisor."""

from collections.abc import Iterator, Sequence

from streamapp.observability.causes import Cause
from streamapp.observability.findings_report import FindingReport, finding_report
from streamapp.supervisor.restarts import how_it_ended
from streamapp.supervisor.slot import Slot

_COMMAND = "streamapp status"


def worker_findings(
    slots: Sequence[Slot], now: float, wall_less_monotonic: float
) -> Iterator[FindingReport]:
    """The workers that are silent, hang in their start, or were or will be started again.

    Args:
        slots: the workers.
        now: monotonic seconds.
        wall_less_monotonic: seconds from a monotonic reading to seconds since the epoch.
    """
    for slot in slots:
        if slot.does_not_answer:
            since = slot.answered_at
            told = f"worker {slot.number} does not answer, process {_pid(slot)}"
            heard_at = None if since is None else since + wall_less_monotonic
            yield finding_report(Cause.WORKER_SILENT, told, _COMMAND, since=heard_at)
        elif slot.starts_slowly(now):
            told = f"worker {slot.number} is not up {now - slot.since:.0f} s after its start"
            began_at = slot.since + wall_less_monotonic
            yield finding_report(Cause.WORKER_SILENT, told, _COMMAND, since=began_at)
        elif slot.is_gone(now):
            how = how_it_ended(slot.exit_code or 0)
            told = f"worker {slot.number} {how}, restart {slot.restarts.count}"
            ended_at = (slot.ended_at or now) + wall_less_monotonic
            yield finding_report(Cause.WORKER_GONE, told, _COMMAND, since=ended_at)


def _pid(slot: Slot) -> str:
    return "unknown" if slot.process is None else str(slot.process.pid)
