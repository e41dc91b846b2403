from collections.abc import Callable

import pytest

from streamapp.observability.health import stage_health, stage_readiness
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.stage_metrics import StageMetrics, StageState, TopicFault
from streamapp.record import TopicPartition

STALL_SECONDS = 60.0


def _stage(
    *lags: int | None,
    state: StageState = StageState.RUNNING,
    last_progress_at: float | None = None,
    rebalances: int = 1,
) -> StageMetrics:
    metrics = StageMetrics("pipeline", "stage", "topic")
    metrics.state = state
    metrics.last_progress_at = last_progress_at
    metrics.rebalances = rebalances
    for number, lag in enumerate(lags):
        metrics.partitions[TopicPartition("topic", number)] = PartitionMetrics(lag_records=lag)
    return metrics


def test_lag_without_progress_is_unhealthy_exactly_when_the_time_is_over() -> None:
    stage = _stage(0, 3, last_progress_at=100.0)
    assert stage_health(stage, 159.9, STALL_SECONDS).ok
    stalled = stage_health(stage, 160.0, STALL_SECONDS)
    assert not stalled.ok
    assert stalled.reason == "lag of 3 records and no progress for 60 s"


def test_lag_with_progress_is_healthy() -> None:
    assert stage_health(_stage(10**9, last_progress_at=1000.0), 1001.0, STALL_SECONDS).ok


@pytest.mark.parametrize("lags", [(), (0,), (0, 0)])
def test_without_lag_a_stage_may_be_quiet_for_ever(lags: tuple[int | None, ...]) -> None:
    assert stage_health(_stage(*lags, last_progress_at=0.0), 1e6, STALL_SECONDS).ok


def test_a_draining_stage_can_stall_too() -> None:
    stage = _stage(3, state=StageState.DRAINING, last_progress_at=0.0)
    assert not stage_health(stage, STALL_SECONDS, STALL_SECONDS).ok


def test_lag_with_no_progress_on_record_is_not_called_healthy() -> None:
    assert not stage_health(_stage(3), 0.0, STALL_SECONDS).ok


def test_a_failed_stage_is_unhealthy_without_lag() -> None:
    health = stage_health(_stage(0, state=StageState.FAILED), 0.0, STALL_SECONDS)
    assert (health.ok, health.reason) == (False, "failed")


def test_a_failed_stage_whose_bundle_goes_on_is_alive_and_not_ready() -> None:
    stage = _stage(state=StageState.FAILED)
    stage.is_contained = True
    health, readiness = stage_health(stage, 0.0, STALL_SECONDS), stage_readiness(stage, 0.0)
    assert (health.ok, readiness.ok) == (True, False)
    assert health.reason == readiness.reason == "failed; the others of its bundle go on"


@pytest.mark.parametrize("state", [StageState.STARTING, StageState.STOPPED])
def test_a_stage_that_does_not_run_yet_or_any_more_is_healthy(state: StageState) -> None:
    assert stage_health(_stage(3, state=state, last_progress_at=0.0), 1e6, STALL_SECONDS).ok


def test_a_running_stage_is_ready_after_its_first_assignment_even_an_empty_one() -> None:
    assert not stage_readiness(_stage(rebalances=0), 0.0).ok
    assert stage_readiness(_stage(rebalances=1), 0.0).ok


@pytest.mark.parametrize("state", [s for s in StageState if s is not StageState.RUNNING])
def test_only_a_running_stage_is_ready(state: StageState) -> None:
    answer = stage_readiness(_stage(0, state=state), 0.0)
    assert (answer.ok, answer.reason) == (False, state)


def test_a_first_assignment_that_never_comes_is_unhealthy_in_time() -> None:
    stage = _stage(rebalances=0)
    stage.cut_off_since = 100.0
    early = stage_health(stage, 159.9, STALL_SECONDS)
    assert early.ok
    assert early.reason == "running, no assignment from its group for 60 s"
    late = stage_health(stage, 160.0, STALL_SECONDS)
    assert (late.ok, late.reason) == (False, "no assignment from its group for 60 s")
    stage.state = StageState.STARTING
    assert not stage_health(stage, 160.0, STALL_SECONDS).ok


@pytest.mark.parametrize("lags", [(None,), (0, None), (5, None)])
def test_a_lag_that_was_not_measured_for_long_is_unhealthy(lags: tuple[int | None, ...]) -> None:
    stage = _stage(*lags, last_progress_at=160.0)
    stage.lag_unknown_since = 100.0
    assert stage_health(stage, 159.9, STALL_SECONDS).ok
    late = stage_health(stage, 160.0, STALL_SECONDS)
    assert not late.ok
    assert late.reason == f"lag of topic[{len(lags) - 1}] not known for 60 s"


def test_lag_that_is_unknown_since_nobody_knows_when_is_not_called_healthy() -> None:
    assert not stage_health(_stage(None), 0.0, STALL_SECONDS).ok


def test_a_topic_that_is_gone_is_unhealthy_in_time_and_named_before_what_it_causes() -> None:
    stage = _stage(None)
    stage.topic_faults = {
        "other": TopicFault("topic other has grown", 110.0),
        "topic": TopicFault("topic topic does not exist", 100.0),
    }
    stage.lag_unknown_since = stage.cut_off_since = 120.0
    early = stage_health(stage, 150.0, STALL_SECONDS)
    assert early.ok
    assert early.reason == "running, topic topic does not exist, for 50 s"
    stage.lag_unknown_since = stage.cut_off_since = 0.0
    late = stage_health(stage, 160.0, STALL_SECONDS)
    assert (late.ok, late.reason) == (False, "topic topic does not exist, for 60 s")


@pytest.mark.parametrize("lags", [(), (None,), (0,)])
def test_a_stage_without_its_group_or_kafka_is_soon_unready_and_then_unhealthy(
    lags: tuple[int | None, ...],
) -> None:
    stage = _stage(*lags, last_progress_at=0.0)
    stage.cut_off_since = stage.lag_unknown_since = 100.0
    assert stage_readiness(stage, 109.9).ok
    assert not stage_readiness(stage, 110.0).ok
    early = stage_health(stage, 110.0, STALL_SECONDS)
    assert early.ok
    assert "for 10 s" in early.reason
    assert not stage_health(stage, 160.0, STALL_SECONDS).ok


def test_unknown_lag_is_not_called_no_lag() -> None:
    stage = _stage(0, None)
    stage.lag_unknown_since = 100.0
    held = stage_health(stage, 101.0, STALL_SECONDS)
    assert held.reason == "running, lag of topic[1] not known for 1 s"


def test_a_stage_that_was_cut_off_this_moment_is_told_by_its_lag() -> None:
    stage = _stage(0)
    stage.cut_off_since = 100.0
    assert stage_health(stage, 100.0, STALL_SECONDS).reason == "running, no lag"
    assert stage_health(stage, 99.0, STALL_SECONDS).reason == "running, no lag"


def test_a_stage_whose_agent_blocks_the_event_loop_is_unhealthy_and_says_which() -> None:
    stage = _stage(3, last_progress_at=100.0)
    stage.blocked_by = "the agent 'a' has blocked the event loop"
    health = stage_health(stage, 101.0, STALL_SECONDS)
    assert (health.ok, health.reason) == (False, "the agent 'a' has blocked the event loop")


def test_a_stage_that_holds_its_records_is_alive_and_not_ready_and_says_for_how_long() -> None:
    stage = _stage(5, last_progress_at=0.0)
    stage.held_since, stage.held_reason, stage.next_probe_at = 100.0, "Z is down", 230.0
    told = "records are held for 120 s, because Z is down; next attempt in 10 s"
    alive, ready = stage_health(stage, 220.0, STALL_SECONDS), stage_readiness(stage, 220.0)
    assert (alive.ok, alive.reason) == (True, told)
    assert (ready.ok, ready.reason) == (False, told)
    assert stage_readiness(stage, 240.0).reason.endswith("next attempt in 0 s")


def test_a_stage_that_starts_is_called_starting() -> None:
    assert stage_health(_stage(state=StageState.STARTING), 0.0, STALL_SECONDS).reason == "starting"


def test_of_several_partitions_with_an_unknown_lag_the_first_is_named() -> None:
    stage = _stage(None, None)
    stage.lag_unknown_since = 0.0
    assert "topic[0]" in stage_health(stage, STALL_SECONDS, STALL_SECONDS).reason


def _waiting(stage: StageMetrics, until: float, partition: int = 0) -> StageMetrics:
    """Let a partition wait for its next record until that time, having made progress long ago."""
    found = stage.partitions[TopicPartition("topic", partition)]
    found.waits_until, found.last_progress_at = until, 0.0
    return stage


def test_records_that_are_not_due_are_no_stall_and_are_told() -> None:
    stage = _waiting(_stage(3, 0, last_progress_at=0.0), 1000.0)
    health = stage_health(stage, 999.0, STALL_SECONDS)
    assert (health.ok, health.reason) == (True, "running, 3 records wait for their retry")


def test_what_is_due_has_the_full_time_from_then_on() -> None:
    stage = _waiting(_stage(3, last_progress_at=0.0), 1000.0)
    assert stage_health(stage, 1059.0, STALL_SECONDS).ok
    assert not stage_health(stage, 1060.0, STALL_SECONDS).ok
    stage.last_progress_at = 1050.0  # of another partition
    stalled = stage_health(stage, 1060.0, STALL_SECONDS)
    assert stalled.reason == "topic[0]: lag of 3 records and no progress for 60 s"


def test_a_partition_that_waits_does_not_hide_that_another_one_stalls() -> None:
    stage = _waiting(_stage(3, 5, last_progress_at=100.0), 1000.0)
    stage.partitions[TopicPartition("topic", 1)].last_progress_at = 100.0
    moving = stage_health(stage, 159.0, STALL_SECONDS)
    assert moving.reason == "running, lag of 5 records, and 3 records wait for their retry"
    stalled = stage_health(stage, 160.0, STALL_SECONDS)
    assert (stalled.ok, stalled.reason) == (False, "lag of 5 records and no progress for 60 s")


def _cut_off(stage: StageMetrics) -> None:
    stage.cut_off_since = 90.0


def _topic_gone(stage: StageMetrics) -> None:
    stage.topic_faults = {"topic": TopicFault("topic topic does not exist", 90.0)}


def _lag_unknown(stage: StageMetrics) -> None:
    stage.partitions[TopicPartition("topic", 0)].lag_records = None
    stage.lag_unknown_since = 90.0


@pytest.mark.parametrize("lag", [0, 5])
@pytest.mark.parametrize(
    ("doubt", "told"),
    [
        (_cut_off, "out of its group, or Kafka does not answer, for 10 s"),
        (_topic_gone, "topic topic does not exist, for 10 s"),
        (_lag_unknown, "lag of topic[0] not known for 10 s"),
    ],
)
def test_what_is_in_doubt_is_not_said_to_work_and_the_doubt_is_told(
    doubt: Callable[[StageMetrics], None], told: str, lag: int
) -> None:
    stage = _stage(lag, last_progress_at=100.0)
    assert stage_health(stage, 100.0, STALL_SECONDS).works is True
    doubt(stage)
    health = stage_health(stage, 100.0, STALL_SECONDS)
    assert (health.ok, health.works, health.reason) == (True, None, f"running, {told}")
    assert stage_health(stage, 150.0, STALL_SECONDS).works is False
    stage.state = StageState.STARTING
    assert stage_health(stage, 100.0, STALL_SECONDS).reason == f"starting, {told}"


def test_a_stage_works_only_if_it_runs_or_has_ended_well() -> None:
    held, contained = _stage(5, last_progress_at=100.0), _stage(state=StageState.FAILED)
    held.held_since, contained.is_contained = 100.0, True
    stalled = _stage(5, last_progress_at=0.0)
    works = {
        "held": stage_health(held, 100.0, STALL_SECONDS).works,
        "contained": stage_health(contained, 100.0, STALL_SECONDS).works,
        "stalled": stage_health(stalled, 100.0, STALL_SECONDS).works,
    } | {
        state.value: stage_health(_stage(0, state=state), 100.0, STALL_SECONDS).works
        for state in StageState
    }
    assert works == {
        "held": False,
        "contained": False,
        "stalled": False,
        "starting": None,
        "running": True,
        "draining": True,
        "stopped": True,
        "failed": False,
    }
