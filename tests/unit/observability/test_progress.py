import pytest

from streamapp.observability.health import stage_health
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.progress import ProgressWatch
from streamapp.observability.stage_metrics import StageMetrics, StageState
from streamapp.record import TopicPartition
from tests.hand_clock import HandClock

FIRST, SECOND = TopicPartition("topic", 0), TopicPartition("topic", 1)
STALL_SECONDS = 60.0


class WatchedStage:
    """A stage, its watch and its clock, moved in the runtime's words."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.metrics = StageMetrics("pipeline", "stage", "topic")
        self.metrics.state = StageState.RUNNING
        self.watch = ProgressWatch(self.metrics, self.clock)

    def assign(self, *partitions: TopicPartition) -> None:
        self.metrics.partitions = {partition: PartitionMetrics() for partition in partitions}
        self.metrics.rebalances += 1
        self.watch.assigned(partitions)

    def measure(self, *lags: int | None) -> None:
        for partition, lag in zip(self.metrics.partitions.values(), lags, strict=True):
            partition.lag_records = lag
        self.watch.lag_measured()

    def healthy(self) -> bool:
        return stage_health(self.metrics, self.clock.monotonic(), STALL_SECONDS).ok


@pytest.fixture
def stage() -> WatchedStage:
    stage = WatchedStage()
    stage.assign(FIRST, SECOND)
    return stage


def test_lag_that_appears_after_hours_of_quiet_gets_the_full_time(stage: WatchedStage) -> None:
    stage.measure(0, 0)
    stage.watch.finished(FIRST)
    stage.clock.advance(7200)
    stage.measure(0, 5)
    assert stage.healthy()
    stage.clock.advance(59)
    stage.measure(0, 9)
    assert stage.healthy()
    stage.clock.advance(1)
    assert not stage.healthy()


def test_lag_found_at_the_start_gets_the_full_time(stage: WatchedStage) -> None:
    stage.clock.advance(7200)
    stage.measure(1000, 0)
    assert stage.healthy()
    stage.clock.advance(60)
    assert not stage.healthy()


def test_growing_lag_and_lag_in_another_partition_are_no_progress(stage: WatchedStage) -> None:
    stage.measure(5, 0)
    stage.clock.advance(60)
    stage.measure(50, 5)
    assert not stage.healthy()


def test_records_that_finish_are_progress(stage: WatchedStage) -> None:
    stage.measure(500, 0)
    stage.clock.advance(59)
    stage.watch.finished(FIRST)
    stage.clock.advance(59)
    assert stage.healthy()


def test_one_partition_that_stands_still_while_others_move_is_a_stall(stage: WatchedStage) -> None:
    stage.measure(500, 3)
    for _ in range(6):
        stage.clock.advance(10)
        stage.watch.finished(FIRST)
        stage.measure(500, 3)
    health = stage_health(stage.metrics, stage.clock.monotonic(), STALL_SECONDS)
    assert not health.ok
    assert health.reason == f"{SECOND.topic}[1]: lag of 3 records and no progress for 60 s"


def test_a_partition_that_finishes_out_of_order_makes_progress(stage: WatchedStage) -> None:
    stage.measure(500, 3)
    stage.clock.advance(59)
    stage.watch.finished(FIRST)
    stage.watch.finished(SECOND)  # its frontier does not move: the first record waits
    stage.clock.advance(30)
    assert stage.healthy()
    stage.measure(0, 0)
    stage.clock.advance(7200)
    stage.watch.finished(FIRST)
    stage.measure(0, 1)  # new lag after hours of quiet
    assert stage.healthy()


def test_rebalancing_for_ever_is_no_progress(stage: WatchedStage) -> None:
    stage.measure(5, 0)
    for _ in range(6):
        stage.clock.advance(10)
        stage.assign(FIRST, SECOND)
        stage.measure(None, None)
        stage.measure(5, 0)
    assert not stage.healthy()


def test_lag_that_could_not_be_measured_for_a_while_does_not_restart_the_time(
    stage: WatchedStage,
) -> None:
    stage.measure(5, 0)
    stage.clock.advance(60)
    stage.measure(None, 0)
    stage.measure(5, 0)
    assert not stage.healthy()


def test_a_spare_worker_that_takes_over_gets_the_full_time(stage: WatchedStage) -> None:
    stage.measure(5, 0)
    stage.assign()
    stage.clock.advance(7200)
    assert stage.healthy()
    stage.assign(FIRST)
    stage.measure(5)
    assert stage.healthy()
    stage.clock.advance(60)
    assert not stage.healthy()


def test_the_time_with_an_unknown_lag_runs_from_the_assignment_until_every_lag_is_known(
    stage: WatchedStage,
) -> None:
    stage.clock.advance(59)
    stage.measure(0, None)
    assert stage.healthy()
    stage.clock.advance(1)
    assert not stage.healthy()
    stage.measure(0, 0)
    assert stage.healthy()
    assert stage.metrics.lag_unknown_since is None


def test_rebalancing_for_ever_does_not_restart_the_time_with_an_unknown_lag(
    stage: WatchedStage,
) -> None:
    for _ in range(6):
        stage.clock.advance(10)
        stage.assign(FIRST, SECOND)
        stage.measure(0, None)
    assert not stage.healthy()


def test_a_spare_worker_has_no_unknown_lag(stage: WatchedStage) -> None:
    stage.assign()
    stage.clock.advance(7200)
    assert stage.healthy()


def test_a_partition_keeps_its_time_without_progress_while_its_lag_is_not_known(
    stage: WatchedStage,
) -> None:
    stage.measure(500, 3)
    for _ in range(3):
        stage.clock.advance(20)
        stage.watch.finished(FIRST)
        stage.measure(500, None)
    stage.measure(500, 3)
    assert not stage.healthy()


def test_lag_of_the_first_assignment_counts_from_when_it_is_seen() -> None:
    stage = WatchedStage()
    stage.assign(FIRST)
    stage.clock.advance(100)
    stage.measure(5)
    assert stage.metrics.last_progress_at == stage.clock.monotonic()


def test_a_member_that_held_partitions_does_not_start_afresh_when_it_is_assigned_again(
    stage: WatchedStage,
) -> None:
    stage.measure(5, 0)
    seen = stage.metrics.last_progress_at
    stage.clock.advance(10)
    stage.assign(SECOND)
    stage.measure(5)
    assert stage.metrics.last_progress_at == seen


def test_lag_that_comes_back_after_it_was_worked_off_starts_anew(stage: WatchedStage) -> None:
    stage.measure(5, 0)
    stage.clock.advance(30)
    stage.measure(0, 0)
    stage.clock.advance(30)
    stage.measure(0, 4)
    assert stage.metrics.last_progress_at == stage.clock.monotonic()


def test_records_that_wait_until_they_are_due_are_no_lag_before(stage: WatchedStage) -> None:
    stage.metrics.partitions[SECOND].waits_until = stage.clock.monotonic() + 7200
    stage.measure(0, 5)
    stage.clock.advance(7000)
    stage.measure(0, 5)
    assert stage.healthy()
    stage.clock.advance(100)
    stage.measure(3, 5)  # lag of another partition appears, and gets the full time
    stage.clock.advance(59)
    stage.measure(3, 5)
    assert stage.healthy()
    stage.watch.finished(FIRST)
    stage.clock.advance(42)
    stage.measure(0, 5)  # due since a second
    stage.clock.advance(58)
    stage.measure(0, 5)
    assert stage.healthy()
    stage.clock.advance(1)
    assert not stage.healthy()
