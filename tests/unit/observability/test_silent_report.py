"""What is told of a worker that does not answer: nothing of how it does, but why it is silent."""

from streamapp.observability.causes import Cause
from streamapp.observability.findings_report import finding_report
from streamapp.observability.silent_report import silent
from streamapp.observability.stage_report import StageReport, StatusReport


def test_of_what_was_wrong_only_a_blocked_loop_is_still_told() -> None:
    causes = (Cause.LOOP_BLOCKED, Cause.HOT_KEY, Cause.BROKER_UNREACHABLE)
    found = tuple(finding_report(one, "seen", "streamapp status") for one in causes)
    stage = StageReport(
        pipeline="orders", stage="check", state="running", ok=True, level="well", findings=found
    )
    [told] = silent(StatusReport(at=10.0, stages=(stage,)), 15.0).stages
    assert [one.cause for one in told.findings] == ["loop_blocked"]
    assert (told.ok, told.level) == (None, "unknown")
