from io import StringIO

import pytest
from rich.console import Console

from streamapp.cli.figures import Figures, at_most, duration
from streamapp.cli.progress import progress_line, summary_lines, table
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.stage_metrics import (
    DeadLetterReason,
    StageMetrics,
    StageState,
    TopicFault,
)
from streamapp.record import TopicPartition
from tests.hand_clock import HandClock


def busy_stage() -> StageMetrics:
    metrics = StageMetrics("p", "score", "p.in")
    metrics.state, metrics.last_progress_at = StageState.RUNNING, HandClock().monotonic()
    metrics.records_in = 1_500
    metrics.processed, metrics.filtered, metrics.dead_lettered = 900, 90, 10
    metrics.acknowledged_records = 1_000
    metrics.records_out["p.out"] = 900
    metrics.records_out["p.score.dlq"] = 10
    metrics.dead_letters[DeadLetterReason.DECODE] = 10
    metrics.in_flight_records = 500
    metrics.retries = 3
    metrics.attempt_duration.observe(100)
    metrics.partitions = {TopicPartition("p.in", i): PartitionMetrics(200) for i in range(2)}
    return metrics


def test_the_rate_is_that_since_the_last_look() -> None:
    clock, metrics = HandClock(), busy_stage()
    figures = Figures([metrics], clock)
    clock.advance(10)
    assert figures.read()[0].finished_per_second == 100
    clock.advance(1)
    metrics.acknowledged_records += 7
    assert figures.read()[0].finished_per_second == 7
    assert figures.read()[0].finished_per_second == 0
    assert figures.overall()[0].finished_per_second == 1_007 / 11


def test_what_kafka_refuses_has_no_rate_in_any_stage_that_is_fused() -> None:
    clock, head = HandClock(), busy_stage()
    fused = StageMetrics("p", "enrich", "p.in")
    fused.fused_to = "score"
    figures = Figures([head, fused], clock)
    figures.read()
    clock.advance(10)
    head.processed, fused.processed = head.processed + 400, 200
    assert [one.finished_per_second for one in figures.read()] == [0, 0]
    clock.advance(10)
    head.processed, fused.processed = head.processed + 400, fused.processed + 200
    head.acknowledged_records += 100
    assert [one.finished_per_second for one in figures.read()] == [10, 5]


def test_dead_letters_are_no_outputs_and_lag_is_that_of_all_partitions() -> None:
    figures = Figures([busy_stage()], HandClock()).read()[0]
    assert (figures.records_out, figures.dead_letters, figures.lag) == (900, 10, 400)


def test_a_stage_that_holds_its_records_is_told_as_held() -> None:
    metrics = busy_stage()
    metrics.held_since = 1.0
    told = Figures([metrics], HandClock()).read()[0]
    assert (told.state, told.cause) == ("held", "dependency_down")
    assert progress_line(told).startswith("score: held (dependency_down), 1,500 in")
    metrics.held_since = None
    assert Figures([metrics], HandClock()).read()[0].state == "running"


def test_lag_is_unknown_while_one_partition_is() -> None:
    metrics = busy_stage()
    metrics.partitions[TopicPartition("p.in", 2)] = PartitionMetrics(None)
    assert Figures([metrics], HandClock()).read()[0].lag is None
    del metrics.partitions[TopicPartition("p.in", 2)]
    metrics.topic_faults = {"p.out": TopicFault("topic p.out does not exist", 0.0)}
    assert Figures([metrics], HandClock()).read()[0].lag == 400
    metrics.topic_faults["p.in"] = TopicFault("new partitions", 0.0, hides_lag=True)
    assert Figures([metrics], HandClock()).read()[0].lag is None
    metrics.topic_faults.clear()
    metrics.partitions.clear()
    assert Figures([metrics], HandClock()).read()[0].lag is None


def test_a_stage_that_hands_on_to_a_fused_one_has_no_outputs_of_its_own() -> None:
    metrics = busy_stage()
    del metrics.records_out["p.out"]
    assert Figures([metrics], HandClock()).read()[0].records_out is None


def test_a_line_says_all_that_an_operator_asks() -> None:
    clock = HandClock()
    figures = Figures([busy_stage()], clock)
    clock.advance(10)
    line = (
        "score: running, 1,500 in, 900 out, 10 dead letters (decode){}, 3 retries, 90 filtered,"
        " 100/s, p50 ≤ 127 us, p99 ≤ 127 us"
    )
    assert progress_line(figures.read()[0]) == f"{line.format('')}, 500 in flight, lag 400"
    summary = summary_lines(figures.overall(), {("p", "score"): "p.score.dlq"})
    assert summary == [line.format(" in p.score.dlq")]


def test_dead_letters_of_several_reasons_are_counted_by_reason() -> None:
    metrics = busy_stage()
    metrics.dead_letters[DeadLetterReason.TIMEOUT] = 2_000
    line = progress_line(Figures([metrics], HandClock()).read()[0])
    assert "2,010 dead letters (10 decode, 2,000 timeout), 3 retries" in line


def drawn(stages: list[StageMetrics], width: int) -> list[str]:
    console = Console(width=width, file=StringIO())
    with console.capture() as capture:
        console.print(table(Figures(stages, HandClock()).read(), console.width))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_a_table_shows_whole_columns_that_fit_the_terminal(width: int) -> None:
    stage = busy_stage()
    stage.stage, stage.records_in, stage.processed = "convert-units", 1_234_567_890, 1_234_567_000
    lines = drawn([stage, busy_stage()], width)
    assert len(lines) == 3
    assert all(len(line) <= width and "…" not in line for line in lines)
    assert lines[1].startswith("convert-units  running  ")
    for name in ("rec/s", "lag", "dead"):
        assert name in lines[0]
    assert ("p99" in lines[0]) == (width >= 100)


def test_a_table_without_stages_is_drawn() -> None:
    assert not "".join(drawn([], 80)).strip()


def test_times_have_the_unit_that_suits_them() -> None:
    assert [duration(s) for s in (63e-6, 0.0123, 2.5)] == ["63 us", "12.3 ms", "2.5 s"]
    assert at_most(None) == "-"
