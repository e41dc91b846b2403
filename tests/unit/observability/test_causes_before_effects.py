"""What another cause explains is told after it, however grave it is: on the page and elsewhere."""

from itertools import product

import pytest

from streamapp.observability.causes import EXPLAINED_BY, TABLE, Cause, Level
from streamapp.observability.findings_report import FindingReport, finding_report, joined_findings
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.stage_metrics import StageMetrics, StageState
from streamapp.observability.stage_report import StageReport, StatusReport
from streamapp.observability.verdict import verdict_of
from streamapp.record import TopicPartition
from streamapp.web.trouble import troubles_of

PAIRS = [(effect, cause) for effect, by in EXPLAINED_BY.items() for cause in by]


def found(cause: Cause) -> FindingReport:
    return finding_report(cause, "seen", "streamapp status")


@pytest.mark.parametrize(("effect", "cause"), PAIRS)
def test_an_effect_comes_after_its_cause_however_grave_it_is(effect: Cause, cause: Cause) -> None:
    told = joined_findings([[found(effect), found(cause)]])
    assert [one.cause for one in told] == [cause, effect]
    stage = StageReport(pipeline="orders", stage="check", state="running", findings=told)
    first, second = troubles_of(StatusReport(at=0.0, stages=(stage,)))
    assert (first.cause, first.is_effect) == (cause.replace("_", " "), False)
    assert (second.cause, second.is_effect) == (effect.replace("_", " "), True)


def test_a_stage_that_is_not_known_follows_from_a_worker_that_is_gone() -> None:
    stage = StageReport(pipeline="orders", stage="check", state="running", level="unknown")
    gone = found(Cause.WORKER_GONE)
    told = troubles_of(StatusReport(at=0.0, findings=(gone,), stages=(stage,)))
    assert [(one.cause, one.is_effect) for one in told] == [
        ("worker gone", False),
        ("not known", True),
    ]
    [alone] = troubles_of(StatusReport(at=0.0, stages=(stage,)))
    assert (alone.cause, alone.is_effect) == ("not known", False)


def test_no_cause_explains_itself_through_others() -> None:
    assert not {(a, b) for (a, b), (c, d) in product(PAIRS, PAIRS) if (a, b) == (d, c)}


def test_without_kafka_it_is_kafka_and_not_the_commits_that_fail() -> None:
    metrics = StageMetrics("orders", "check", "raw")
    metrics.state, metrics.state_since, metrics.rebalances = StageState.RUNNING, 0.0, 1
    metrics.last_progress_at = metrics.cut_off_since = metrics.lag_unknown_since = 970.0
    metrics.partitions[TopicPartition("raw", 0)] = PartitionMetrics(lag_records=None)
    for at in range(941, 1001):
        metrics.commit_failures += at >= 970
        metrics.recent.sample(metrics, float(at))
    verdict = verdict_of(metrics, 1000.0, 60.0)
    assert [one.cause for one in verdict.findings] == [
        Cause.BROKER_UNREACHABLE,
        Cause.COMMITS_FAILING,
        Cause.LAG_UNKNOWN,
    ]
    assert verdict.cause is Cause.BROKER_UNREACHABLE
    assert verdict.level is Level.FAILING  # the worst of them
    assert TABLE[Cause.BROKER_UNREACHABLE].level is not Level.FAILING
