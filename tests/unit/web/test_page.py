"""The page, made of reports: what is wrong comes first, and what is not known is no number."""

import re

import pytest

from streamapp.observability.causes import Cause
from streamapp.observability.figures_report import (
    KindReport,
    LatelyReport,
    MemberReport,
    OccurrenceReport,
    OpenLettersReport,
    PartitionReport,
    PartReport,
)
from streamapp.observability.findings_report import FindingReport
from streamapp.observability.joined_report import joined
from streamapp.observability.pipeline_report import (
    AgentReport,
    PipelineReport,
    PlacedStage,
    SegmentReport,
)
from streamapp.observability.stage_report import StageReport, StatusReport, WorkerReport
from streamapp.web.overview import MOST_PIPELINES
from streamapp.web.page import page
from tests.unit.web.shown import Shown

NOW = 1_700_000_000.0
LATELY = LatelyReport(
    seconds=60.0, received=100, outcomes=200, failed=3, p50_seconds=0.001, p99_seconds=0.25,
    lag_per_second=-20.0, rebalances=0, commits=9, commit_failures=0,
)  # fmt: skip
WELL = StageReport(
    pipeline="orders", stage="check", state="running", ok=True, level="well", reason="running",
    source="raw", since=NOW - 90, lag=1200, lag_seconds=95.0, in_flight=10, in_flight_bytes=2048,
    most_in_flight=100, finished_per_second=33.0, records_in=1_000_001, retries=5, lately=LATELY,
    partitions=1, last_commit_at=NOW - 2,
)  # fmt: skip
FINDING = FindingReport(
    cause=Cause.SLOW_AGENT.value, level="attention", evidence="an attempt takes 80 ms",
    since=NOW - 130, advice="Add workers.", command="streamapp lag orders --why",
)  # fmt: skip


def stage(**fields: object) -> StageReport:
    return WELL.model_copy(update=fields)


def report(*stages: StageReport, **fields: object) -> StatusReport:
    return StatusReport(at=NOW, stages=stages).model_copy(update=fields)


def shown(*stages: StageReport, pipeline: str | None = None, **fields: object) -> Shown:
    return Shown(page(report(*stages, **fields), pipeline))


def test_a_stage_that_does_well_stands_in_one_row_with_its_figures() -> None:
    found = shown(WELL)
    assert found.row("orders-check") == {
        "name": "well check reads raw running for 1 min 30 s",
        "finished": "33/s",
        "lag": "1,200 oldest 1 min 35 s gone in 1 min 0 s",
        "in flight": "10 of 100 2 KiB",
        "failed, last minute": "1.5 % 3 of 200",
        "attempt, median": "≤ 1 ms",
        "attempt, 99 %": "≤ 250 ms",
        "retries": "5",
        "dead letters": "0",
        "taken in": "1,000,001",
        "commit": "2.0 s ago",
    }
    assert found.text("headline") == "The stage is well"
    assert "What is wrong" not in found.text()


def test_what_is_not_known_is_no_number() -> None:
    bare = StageReport(pipeline="orders", stage="check", state="running", ok=True)
    row = shown(bare).row("orders-check")
    for label in ("finished", "lag", "in flight", "failed, last minute", "attempt, 99 %"):
        assert row[label] == "?"
    assert row["commit"] == "-"


def test_a_stage_of_which_nothing_is_known_is_not_called_well() -> None:
    found = shown(StageReport(pipeline="orders", stage="check", state="running", reason="silent"))
    assert found.text("headline") == "Of 1 stage 1 is not known to work"
    assert "unknown not known orders / check silent" in found.text("content")


def test_what_is_wrong_comes_first_with_cause_evidence_since_advice_and_command() -> None:
    found = shown(stage(level="attention", findings=(FINDING,)))
    text = found.text()
    assert text.startswith(
        "What is wrong attention slow agent orders / check for 2 min 10 s an attempt takes 80 ms"
        " The agent is busy all the time, and the lag grows."
        " What to do: Add workers. streamapp lag orders --why"
    )
    assert found.text("headline") == "Of 1 stage 1 needs attention"


def test_the_gravest_is_told_first_and_what_several_stages_share_once() -> None:
    down = FINDING.model_copy(
        update={"cause": "broker_unreachable", "level": "unknown", "evidence": "no answer"}
    )
    failing = FINDING.model_copy(update={"cause": "topic_missing", "level": "failing"})
    found = shown(
        stage(level="attention", findings=(FINDING,)),
        stage(stage="enrich", level="unknown", ok=None, findings=(down,)),
        stage(stage="score", level="unknown", ok=None, findings=(down,)),
        stage(stage="route", level="failing", ok=False, findings=(failing,)),
    )
    text = found.text()
    assert text.index("topic missing") < text.index("broker unreachable") < text.index("slow agent")
    assert "broker unreachable orders / enrich, orders / score" in text
    assert found.text("headline") == (
        "Of 4 stages 1 fails, 2 are not known to work, 1 needs attention"
    )


def test_a_cause_of_a_later_version_is_told_without_its_meaning() -> None:
    later = FINDING.model_copy(update={"cause": "moon_phase", "advice": "", "command": ""})
    text = shown(stage(level="attention", findings=(later,))).text()
    assert "moon phase orders / check for 2 min 10 s an attempt takes 80 ms orders" in text


@pytest.mark.parametrize(
    ("level", "mark"),
    [("well", ""), ("failing", "(!) "), ("attention", "(i) "), ("unknown", "(?) ")],
)
def test_the_title_tells_of_trouble_in_a_tab_that_is_not_looked_at(level: str, mark: str) -> None:
    html = page(report(stage(level=level, ok=level == "well")))
    assert f"<title>{mark}" in html
    assert ("<title>(" in html) is bool(mark)


SHAPE = PipelineReport(
    pipeline="orders",
    segments=(
        SegmentReport(
            group="orders.check",
            sources=("raw",),
            stages=(
                PlacedStage(
                    stage="check",
                    agent=AgentReport(
                        name="both",
                        kind="fallback",
                        parts=(
                            AgentReport(name="left", kind="agent"),
                            AgentReport(name="right", kind="agent"),
                        ),
                    ),
                    batch_size=50,
                    output="checked",
                    routes={"odd": "odd-ones"},
                    retry_topics={"orders.check.retry-10s": 10.0},
                    dead_letters="orders.check.dlq",
                ),
            ),
        ),
        SegmentReport(
            group="orders.enrich",
            sources=("checked",),
            stages=(
                PlacedStage(stage="enrich", agent=AgentReport(name="enrich", kind="agent")),
                PlacedStage(
                    stage="route", agent=AgentReport(name="route", kind="agent"), output="end"
                ),
            ),
        ),
    ),
)


def test_the_graph_shows_topics_stages_parts_and_what_goes_beside_the_way() -> None:
    one = stage(written={"odd-ones": 7, "orders.check.retry-10s": 3}, dead_letters={"permanent": 4})
    text = shown(one, pipelines=(SHAPE,)).text()
    graph = text[text.index("orders raw") : text.index("stage finished")]
    assert graph == (
        "orders raw lag 1,200"
        " check well 33/s last minute in batches of up to 50 fallback of 2"
        " fallback both left right"
        " odd-ones by the route odd: 7"
        " orders.check.retry-10s back after 10s: 3"
        " orders.check.dlq dead letters: 4"
        " checked enrich not run here route not run here end "
    )


@pytest.mark.parametrize(
    ("fields", "flag"),
    [
        ({"state": "held"}, "holds its records"),
        ({"in_flight": 51}, "backpressure: takes no more for now"),
        (
            {"assigned": (PartitionReport(topic="raw", partition=0, lag=1, lag_seconds=None,
                                          is_paused=True),)},
            "1 partition paused",
        ),
        ({"waits_for": "topics that match"}, "waits for topics that match"),
        ({"left_out": ("slow",)}, "left out: slow"),
    ],
)  # fmt: skip
def test_the_graph_says_what_keeps_records_back(fields: dict[str, object], flag: str) -> None:
    assert flag in shown(stage(**fields), pipelines=(SHAPE,)).text()
    assert flag not in shown(WELL, pipelines=(SHAPE,)).text()


def test_workers_stand_below_the_stage_that_they_share() -> None:
    parts = [
        StatusReport(at=NOW, stages=(stage(lag=5),)).of_worker("0"),
        StatusReport(at=NOW, stages=(stage(lag=7),)).of_worker("1"),
    ]
    crew = (
        WorkerReport(worker="0", state="up", ok=True, reason="up for 9 s", process=11),
        WorkerReport(worker="1", state="silent", ok=None, reason="does not answer", restarts=2),
    )
    found = Shown(page(joined(parts).model_copy(update={"crew": crew})))
    assert found.row("orders-check")["lag"].startswith("12")
    workers = found.rows("worker")
    assert [one["lag"][:1] for one in workers if "lag" in one] == ["5", "7"]
    assert [one["state"] for one in workers if "state" in one] == [
        "up for 9 s",
        "silent does not answer",
    ]
    assert [one["process"] for one in workers if "process" in one] == ["11", "-"]
    assert "in 2 workers" in found.text("headline")


def test_partitions_tell_owner_lag_commit_and_why_they_pause() -> None:
    names = ("topic", "partition", "lag", "lag_seconds", "is_paused", "worker", "pause")
    rows = [
        ("raw", 0, 0, 0.0, False, "0", None),
        ("raw", 1, 90, 8.0, True, "1", "behind_one"),
        ("raw", 2, None, None, False, None, None),
        ("raw", 3, 4, 3.0, False, "1", "a later reason"),
    ]
    own = [PartitionReport.model_validate(dict(zip(names, one, strict=True))) for one in rows]
    own[1] = own[1].model_copy(update={"committed_offset": 12_345, "committed_at": NOW - 4})
    found = shown(stage(assigned=tuple(own), worker="0")).rows("raw[")
    assert [one["name"] for one in found] == ["raw[2]", "raw[1]", "raw[3]", "raw[0]"]
    assert found[0]["lag"] == found[0]["worker"] == found[0]["commit"] == "?"
    assert found[1] == {
        "name": "raw[1]",
        "stage": "check",
        "worker": "1",
        "lag": "90",
        "oldest": "8.0 s",
        "committed offset": "12,345",
        "commit": "4.0 s ago",
        "pause": "much is finished behind one record that is not",
    }
    assert [one["pause"] for one in found[2:]] == ["a later reason", "-"]


def test_dead_letters_are_told_by_fingerprint_with_the_first_and_the_last() -> None:
    kinds = tuple(
        KindReport(
            fingerprint=f"f{n}", error="ValueError", reason="permanent", count=10 + n,
            first_at=NOW - 60, last_at=NOW - 5, expires_at=NOW + 7200 if n == 6 else None,
        )
        for n in range(7)
    )  # fmt: skip
    found = shown(stage(kinds=kinds, dead_letters={"permanent": 91}))
    rows = found.rows("f")
    assert [one["name"] for one in rows][:7] == ["f6", "f5", "f4", "f3", "f2", "f1", "f0"]
    assert rows[0] == {
        "name": "f6",
        "stage": "check",
        "error": "ValueError",
        "reason": "permanent",
        "records": "16",
        "first": "1 min 0 s ago",
        "last": "5.0 s ago",
        "time left": "2 h 0 min",
    }
    assert rows[1]["time left"] == "-"
    assert found.row("orders-check")["dead letters"] == "91 permanent"


def test_letters_with_which_nothing_was_done_are_told_with_the_time_that_is_left() -> None:
    waiting = OpenLettersReport(
        topic="orders.check.dlq", count=1200, oldest_at=NOW - 3600, expires_at=NOW + 7200
    )
    found = shown(stage(open_letters=waiting))
    assert found.rows("orders.check.dlq") == [
        {
            "name": "orders.check.dlq",
            "stage": "check",
            "open": "1,200",
            "oldest": "1 h 0 min",
            "time left": "2 h 0 min",
        }
    ]
    done = waiting.model_copy(update={"count": 0})
    assert shown(stage(open_letters=done)).rows("orders.check.dlq") == []


def test_members_parts_and_occurrences_are_told() -> None:
    members = (
        MemberReport(pool="score", member="fast", breaker="closed", active=2, capacity=8,
                     calls=1200, failures=3),
        MemberReport(pool="score", member="slow", breaker="open", active=0, capacity=4,
                     calls=40, failures=40),
    )  # fmt: skip
    parts = (
        PartReport(part="left", calls=10, failures=1, seconds=0.1),
        PartReport(part="right", calls=0, failures=0, seconds=0.0),
    )
    happened = (
        OccurrenceReport(
            at=NOW - 61, kind="held", told="holds its records", worker="1", times=1200
        ),
    )
    found = shown(stage(members=members, parts=parts, occurrences=happened))
    [fast] = found.rows("fast")
    assert (fast["breaker"], fast["calls that run"]) == ("takes calls", "2 of 8")
    assert found.rows("slow")[0]["breaker"] == "left out"
    assert found.rows("left")[0]["a call takes"] == "10 ms"
    assert found.rows("right")[0]["a call takes"] == "-"
    assert found.text("pipeline-orders-occurrences") == (
        "What has happened lately 1 1 min 1 s ago check of worker 1 holds its records, 1,200 times"
    )


def test_of_very_many_pipelines_the_worst_are_shown_and_the_others_by_their_names() -> None:
    many = [stage(pipeline=f"p{n}") for n in range(MOST_PIPELINES + 5)]
    many[-1] = many[-1].model_copy(update={"level": "failing", "ok": False})
    worst = f"pipeline-p{MOST_PIPELINES + 4}"
    found = shown(*many)
    assert worst in found.ids
    assert len([one for one in found.ids if re.fullmatch(r"pipeline-p\d+", one)]) == MOST_PIPELINES
    assert "Other pipelines" in found.text()
    one = shown(*many, pipeline="p3")
    assert [name for name in one.ids if re.fullmatch(r"pipeline-p\d+", name)] == ["pipeline-p3"]
    assert "No stage of a pipeline named p77 runs here." in shown(WELL, pipeline="p77").text()


@pytest.mark.parametrize("silent", [0, 1])
def test_without_stages_nothing_is_called_well(silent: int) -> None:
    found = shown(silent_workers=silent)
    assert found.text("headline").startswith("No stage is known")
    assert ("1 worker does not answer" in found.text("headline")) is bool(silent)


def test_no_name_can_write_html() -> None:
    evil = "<script>alert(1)</script>"
    named = stage(
        pipeline=evil, stage=evil, source=evil, reason=evil, level="failing", ok=False,
        findings=(FINDING.model_copy(update={"evidence": evil, "command": evil}),),
        occurrences=(OccurrenceReport(at=NOW, kind="held", told=evil),),
    )  # fmt: skip
    html = page(report(named))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_ids_are_unique() -> None:
    html = page(report(WELL, stage(stage="enrich", findings=(FINDING,)), pipelines=(SHAPE,)))
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))


def test_an_output_that_no_next_stage_reads_stands_beside_the_way() -> None:
    first = SHAPE.segments[0].stages[0].model_copy(update={"output": "elsewhere"})
    changed = SHAPE.segments[0].model_copy(update={"stages": (first,)})
    shape = SHAPE.model_copy(update={"segments": (changed, SHAPE.segments[1])})
    text = shown(stage(written={"elsewhere": 12}), pipelines=(shape,)).text()
    assert "elsewhere output: 12" in text
