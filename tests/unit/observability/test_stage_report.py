"""Stages as data: of one worker, and of several together."""

from streamapp.observability.causes import Cause
from streamapp.observability.figures_report import (
    ErrorReport,
    LatelyReport,
    MemberReport,
    OccurrenceReport,
    PartReport,
)
from streamapp.observability.findings import failed_words
from streamapp.observability.findings_report import finding_report
from streamapp.observability.joined_report import joined
from streamapp.observability.last_errors import LastError, LastErrors
from streamapp.observability.occurrences import MOST, OccurrenceKind, Occurrences
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.partition_metrics import PartitionMetrics, Pause
from streamapp.observability.stage_metrics import (
    BreakerState,
    MemberState,
    PartFigures,
    StageMetrics,
    StageState,
)
from streamapp.observability.stage_reading import report_of
from streamapp.observability.stage_report import StageReport, StatusReport
from streamapp.observability.verdict import verdict_of
from streamapp.record import TopicPartition


def metrics() -> StageMetrics:
    found = StageMetrics("orders", "check", "raw")
    found.state, found.state_since = StageState.RUNNING, 90.0
    return found


def report(of: StageMetrics) -> StageReport:
    verdict = verdict_of(of, 100.0, 60.0)
    return report_of(of, verdict, now=100.0, wall=1_000.0, rate=None)


def test_what_is_not_known_is_none() -> None:
    found = report(metrics())
    assert found.lag is None
    assert found.mean_seconds is None
    assert found.p99_seconds is None
    assert found.finished_per_second is None
    assert found.errors == ()


def test_a_stage_is_reported_with_its_figures() -> None:
    stage = metrics()
    stage.processed, stage.dead_lettered = 7, 1
    stage.attempt_duration.observe(1_000)
    stage.attempt_duration.observe(3_000)
    stage.partitions[TopicPartition("raw", 0)] = PartitionMetrics(lag_records=5)
    stage.pools = {
        "score": lambda _: [MemberState("slow", 0, 4, BreakerState.OPEN, 1.0, calls=1, failures=1)]
    }
    stage.last_errors.add(LastError(950.0, "OSError", "abc"))
    found = report(stage)
    assert (found.state, found.since) == ("running", 990.0)
    assert (found.finished, found.lag, found.partitions) == (8, 5, 1)
    assert found.mean_seconds == 0.002
    assert found.left_out == ("slow",)
    assert found.errors == (ErrorReport(at=950.0, error="OSError", fingerprint="abc"),)
    assert StageReport.model_validate_json(found.model_dump_json()) == found


def test_a_stage_that_holds_says_since_when_and_why() -> None:
    stage = metrics()
    stage.held_since, stage.held_reason, stage.next_probe_at = 98.0, "the world is down", 103.0
    found = report(stage)
    assert (found.state, found.since, found.held_since) == ("held", 998.0, 998.0)
    assert (found.held_reason, found.next_probe_at) == ("the world is down", 1_003.0)


def test_open_letters_and_kinds_say_when_they_will_be_deleted() -> None:
    stage = metrics()
    stage.letter_retention_seconds = 3600.0
    stage.letter_kinds.count("f", "ValueError", "failed", 950.0, 940.0)
    stage.letter_kinds.count("f", "ValueError", "failed", 960.0, 930.0)
    stage.open_letters = OpenLetters("dlq", 2, 40.0, 3600.0)
    found = report(stage)
    assert [one.expires_at for one in found.kinds] == [930.0 + 3600.0]
    told = {"topic": "dlq", "count": 2, "oldest_at": 940.0, "expires_at": 4540.0}
    assert found.open_letters is not None
    assert found.open_letters.model_dump() == told
    stage.letter_retention_seconds, stage.open_letters = None, None
    assert (report(stage).kinds[0].expires_at, report(stage).open_letters) == (None, None)
    # Of several workers, one knows.
    both = joined([part(), part(open_letters=told)])
    assert both.stages[0].open_letters == found.open_letters


def part(**fields: object) -> StatusReport:
    base: dict[str, object] = {"pipeline": "orders", "stage": "check", "state": "running"}
    return StatusReport(at=1.0, stages=(StageReport.model_validate({**base, **fields}),))


def test_several_workers_are_seen_as_one() -> None:
    found = joined(
        [
            part(ok=True, records_in=3, outcomes={"processed": 2}, partitions=2, lag=4, retries=1),
            part(ok=True, outcomes={"processed": 5, "dropped": 1}, partitions=0, lag=None),
        ]
    )
    [stage] = found.stages
    assert found.workers == 2
    assert stage.outcomes == {"processed": 7, "dropped": 1}
    assert (stage.records_in, stage.retries, stage.ok) == (3, 1, True)
    assert stage.lag == 4  # a worker without partitions has no part in it


def test_the_worst_of_several_workers_is_told_and_one_unknown_lag_hides_the_sum() -> None:
    bad = {"state": "held", "ok": False, "reason": "down", "breaker": "open", "held_since": 9.0}
    found = joined(
        [
            part(ok=True, reason="fine", breaker="closed", partitions=1, lag=4, p99_seconds=0.1),
            part(**bad, partitions=1, lag=None, p99_seconds=0.4),
        ]
    )
    [stage] = found.stages
    assert (stage.state, stage.ok, stage.reason, stage.breaker) == ("held", False, "down", "open")
    assert (stage.lag, stage.p99_seconds, stage.held_since) == (None, 0.4, 9.0)


def burst(worker: str, failed: int, outcomes: int) -> StatusReport:
    detail = ", most with KeyError (abc)"
    told = failed_words(failed, outcomes, 60) + detail
    finding = finding_report(Cause.POISON_BURST, told, "", detail=detail)
    lately = LatelyReport(
        seconds=60,
        received=outcomes,
        outcomes=outcomes,
        failed=failed,
        rebalances=0,
        commits=1,
        commit_failures=0,
        p50_seconds=None,
        p99_seconds=None,
        lag_per_second=None,
    )
    return part(worker=worker, findings=(finding,), lately=lately)


def test_the_share_of_failures_of_several_workers_is_that_of_all_their_records() -> None:
    [stage] = joined([burst("0", 143, 948), burst("1", 157, 1052)]).stages
    assert [one.evidence for one in stage.findings] == [
        "300 of 2,000 records failed for good within 60 s (15%), most with KeyError (abc)"
    ]


def test_what_one_of_several_workers_tells_with_figures_of_its_own_has_its_name() -> None:
    grows = finding_report(Cause.LAG_GROWING, "the lag has grown from 1 to 2,000 records", "")
    found = joined([part(worker="0"), part(worker="1", findings=(grows,))]).stages[0].findings
    assert found[0].evidence == "the lag has grown from 1 to 2,000 records (worker 1)"
    well = part(worker="0", lately=burst("0", 0, 9000).stages[0].lately)
    few = joined([well, burst("1", 30, 400)]).stages[0].findings
    told = "30 of 400 records failed for good within 60 s (8%), most with KeyError (abc) (worker 1)"
    assert [one.evidence for one in few if one.evidence.startswith("30 of")] == [told]


def test_a_part_of_which_is_not_known_whether_it_works_is_told_unless_another_does_not() -> None:
    well, lost = part(ok=True, reason="fine"), part(ok=None, reason="out of its group")
    [stage] = joined([well, lost]).stages
    assert (stage.ok, stage.reason, stage.trouble) == (None, "out of its group", "out of its group")
    [stage] = joined([lost, part(ok=False, reason="stalled")]).stages
    assert (stage.ok, stage.trouble) == (False, "stalled")
    [stage] = joined([well, well]).stages
    assert (stage.ok, stage.trouble) == (True, None)


def test_while_a_worker_does_not_answer_nobody_knows_whether_its_stages_work() -> None:
    [stage] = joined([part(ok=True, reason="fine")], silent_workers=1).stages
    assert (stage.ok, stage.trouble) == (None, "1 worker does not answer")
    within = part(ok=True).model_copy(update={"silent_workers": 1})
    [stage] = joined([within], silent_workers=1).stages
    assert (stage.ok, stage.trouble) == (None, "2 workers do not answer")
    [stage] = joined([part(ok=False, reason="stalled")], silent_workers=1).stages
    assert (stage.ok, stage.trouble) == (False, "stalled")


def test_the_latest_errors_of_all_are_kept_in_their_order() -> None:
    def errors(*at: float) -> tuple[ErrorReport, ...]:
        return tuple(ErrorReport(at=one, error="E", fingerprint="f") for one in at)

    [stage] = joined([part(errors=errors(1, 4, 6)), part(errors=errors(2, 3, 5))]).stages
    assert [one.at for one in stage.errors] == [2, 3, 4, 5, 6]


def test_of_many_failures_alike_few_are_kept() -> None:
    errors = LastErrors()
    wanted = [errors.wants(kind, at) for at in (0.0, 0.5, 1.5) for kind in (OSError, ValueError)]
    assert wanted == [True, True, False, False, True, True]
    for number in range(20):
        errors.add(LastError(number, "OSError", ""))
    assert [one.at for one in errors.list()] == [15, 16, 17, 18, 19]


def test_a_partition_is_told_with_its_commit_and_why_it_pauses() -> None:
    stage = metrics()
    own = PartitionMetrics(2, 940.0, Pause.BEHIND_ONE, committed_offset=7, committed_at=99.0)
    stage.partitions[TopicPartition("raw", 0)] = own
    [found] = report(stage).assigned
    assert (found.pause, found.is_paused) == ("behind_one", True)
    assert (found.committed_offset, found.committed_at, found.lag_seconds) == (7, 999.0, 60.0)
    own.pause, stage.held_since = None, 98.0
    [found] = report(stage).assigned
    assert (found.pause, found.is_paused) == ("held", False)
    stage.held_since, own.waits_until = None, 101.0
    waiting = report(stage)
    assert (waiting.assigned[0].pause, waiting.waiting) == ("waits", 2)


def test_the_age_of_the_oldest_record_is_not_known_while_that_of_a_partition_is_not() -> None:
    stage = metrics()
    stage.partitions[TopicPartition("raw", 0)] = PartitionMetrics(2, 940.0)
    stage.partitions[TopicPartition("raw", 1)] = PartitionMetrics(2, 950.0)
    assert report(stage).lag_seconds == 60.0
    stage.partitions[TopicPartition("raw", 2)] = PartitionMetrics(3)
    assert report(stage).lag_seconds is None


def test_parts_and_occurrences_are_told() -> None:
    stage = metrics()
    stage.parts = {"left": PartFigures(calls=5, failures=1, seconds=0.5)}
    stage.occurrences.add(90.0, OccurrenceKind.ASSIGNED, "was assigned raw[0]")
    found = report(stage)
    assert found.parts == (PartReport(part="left", calls=5, failures=1, seconds=0.5),)
    told = OccurrenceReport(at=990.0, kind="assigned", told="was assigned raw[0]")
    assert found.occurrences == (told,)


def test_of_many_occurrences_the_latest_are_kept() -> None:
    occurrences = Occurrences()
    for number in range(MOST + 3):
        occurrences.add(float(number), OccurrenceKind.HELD, f"holds {number}")
    assert [one.at for one in occurrences.list()] == [float(n) for n in range(3, MOST + 3)]


def of_worker(worker: str, **fields: object) -> StatusReport:
    return part(**fields).of_worker(worker)


def test_joined_workers_are_told_one_by_one_too() -> None:
    member = MemberReport(
        pool="score", member="fast", breaker="open", active=0, capacity=4, calls=9, failures=9
    )
    figures = {"part": "left", "calls": 2, "failures": 1, "seconds": 0.25}
    happened = {"kind": "held", "told": "holds its records"}
    first = of_worker(
        "0", records_in=3, lag=1, partitions=1, lag_seconds=5.0, members=[member], parts=[figures],
        occurrences=[happened | {"at": 9.0}],
    )  # fmt: skip
    second = of_worker(
        "1", records_in=4, lag=2, partitions=1, lag_seconds=7.0, members=[member], parts=[figures],
        occurrences=[happened | {"at": 8.0}],
    )  # fmt: skip
    [stage] = joined([first, second]).stages
    assert [(one.worker, one.records_in) for one in stage.shares] == [("0", 3), ("1", 4)]
    assert [one.worker for one in stage.members] == ["0", "1"]
    assert [(one.at, one.worker) for one in stage.occurrences] == [(8.0, "1"), (9.0, "0")]
    assert stage.parts == (PartReport(part="left", calls=4, failures=2, seconds=0.5),)
    assert stage.lag_seconds == 7.0


def test_the_age_of_lag_is_not_known_while_one_worker_with_partitions_does_not_know_it() -> None:
    ages = [
        part(partitions=1, lag=2, lag_seconds=5.0),
        part(partitions=1, lag=2, lag_seconds=None),
        part(partitions=0),
    ]
    assert joined(ages).stages[0].lag_seconds is None
    assert joined([ages[0], ages[2]]).stages[0].lag_seconds == 5.0
