from streamapp.cli.figures import Figures, duration
from streamapp.cli.progress import progress_line, summary_lines
from streamapp.observability.stage_metrics import (
    DeadLetterReason,
    PartitionMetrics,
    StageMetrics,
    StageState,
)
from streamapp.record import TopicPartition
from tests.hand_clock import HandClock


def busy_stage() -> StageMetrics:
    metrics = StageMetrics("p", "score", "p.in")
    metrics.state = StageState.RUNNING
    metrics.records_in = 1_500
    metrics.processed, metrics.filtered, metrics.dead_lettered = 900, 90, 10
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
    assert figures.look()[0].finished_per_second == 100
    clock.advance(1)
    metrics.processed += 7
    assert figures.look()[0].finished_per_second == 7
    assert figures.look()[0].finished_per_second == 0
    assert figures.overall()[0].finished_per_second == 1_007 / 11


def test_dead_letters_are_no_outputs_and_lag_is_that_of_all_partitions() -> None:
    figures = Figures([busy_stage()], HandClock()).look()[0]
    assert (figures.records_out, figures.dead_letters, figures.lag) == (900, 10, 400)


def test_lag_is_unknown_while_one_partition_is() -> None:
    metrics = busy_stage()
    metrics.partitions[TopicPartition("p.in", 2)] = PartitionMetrics(None)
    assert Figures([metrics], HandClock()).look()[0].lag is None
    metrics.partitions.clear()
    assert Figures([metrics], HandClock()).look()[0].lag is None


def test_a_stage_that_hands_on_to_a_fused_one_has_no_outputs_of_its_own() -> None:
    metrics = busy_stage()
    del metrics.records_out["p.out"]
    assert Figures([metrics], HandClock()).look()[0].records_out is None


def test_a_line_says_all_that_an_operator_asks() -> None:
    clock = HandClock()
    figures = Figures([busy_stage()], clock)
    clock.advance(10)
    line = (
        "score: running, 1,500 in, 900 out, 10 dead letters, 3 retries, 90 filtered, 100/s,"
        " p50 127 us, p99 127 us"
    )
    assert progress_line(figures.look()[0]) == f"{line}, 500 in flight, lag 400"
    assert summary_lines(figures.overall()) == [line]


def test_times_have_the_unit_that_suits_them() -> None:
    assert [duration(s) for s in (None, 63e-6, 0.0123, 2.5)] == ["-", "63 us", "12.3 ms", "2.5 s"]
