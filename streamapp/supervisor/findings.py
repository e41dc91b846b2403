"""What is wrong with the workers of a supervisor."""

from collections.abc import Collection, Iterator, Sequence

from streamapp.observability.causes import TABLE, Cause
from streamapp.observability.findings_report import FindingReport
from streamapp.supervisor.restarts import how_it_ended
from streamapp.supervisor.slot import Slot, SlotState


def worker_findings(
    slots: Sequence[Slot], answered: Collection[int], wall_less_monotonic: float
) -> Iterator[FindingReport]:
    """The workers that do not answer, and those that have ended and will be started again.

    Args:
        slots: the workers.
        answered: numbers of those that have answered just now.
        wall_less_monotonic: seconds from a monotonic reading to seconds since the epoch.
    """
    for slot in slots:
        if slot.state is SlotState.UP and slot.number not in answered:
            told = f"worker {slot.number} does not answer, process {_pid(slot)}"
            yield _finding(Cause.WORKER_SILENT, told, None)
        elif slot.state is SlotState.WAITING:
            told = f"worker {slot.number} {how_it_ended(slot.exit_code or 0)}, and starts again"
            yield _finding(Cause.WORKER_GONE, told, slot.since + wall_less_monotonic)


def _pid(slot: Slot) -> str:
    return "unknown" if slot.process is None else str(slot.process.pid)


def _finding(cause: Cause, told: str, since: float | None) -> FindingReport:
    entry = TABLE[cause]
    return FindingReport(
        cause=cause.value,
        level=entry.level.value,
        evidence=told,
        since=since,
        advice=entry.advice,
        command="streamapp status",
    )
