"""The verdict on a stage: one cause for each fault, with its evidence, and none without one."""

from collections.abc import Callable

import pytest

from streamapp.observability.causes import TABLE, Cause, Level
from streamapp.observability.loop_blocks import LoopBlock, LoopBlocks
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.recent import SAMPLE_SECONDS
from streamapp.observability.stage_metrics import (
    BreakerState,
    ClockSkew,
    HoldKind,
    MemberState,
    Notice,
    StageMetrics,
    StageState,
    TopicFault,
)
from streamapp.observability.verdict import (
    Verdict,
    is_live,
    next_command,
    notice_findings,
    verdict_of,
)
from streamapp.record import TopicPartition

STALL_SECONDS = 60.0
NOW = 1000.0
WALL = 1_700_000_000.0


def a_stage(*lags: int | None) -> StageMetrics:
    metrics = StageMetrics("orders", "check", "raw")
    metrics.state, metrics.state_since, metrics.rebalances = StageState.RUNNING, 0.0, 1
    metrics.last_progress_at = NOW
    for number, lag in enumerate(lags or (0,)):
        own = PartitionMetrics(lag_records=lag, last_progress_at=NOW)
        metrics.partitions[TopicPartition("raw", number)] = own
    return metrics


def over_a_minute(metrics: StageMetrics, change: Callable[[StageMetrics, float], None]) -> Verdict:
    """The verdict after a minute in which samples were taken; `change` gets the share of it."""
    count = int(60 / SAMPLE_SECONDS)
    for number in range(count + 1):
        change(metrics, number / count)
        metrics.recent.sample(metrics, NOW - 60 + number * SAMPLE_SECONDS)
    return verdict_of(metrics, NOW, STALL_SECONDS)


def judge(metrics: StageMetrics) -> Verdict:
    return verdict_of(metrics, NOW, STALL_SECONDS)


def lag(metrics: StageMetrics, *lags: float) -> None:
    for own, value in zip(metrics.partitions.values(), lags, strict=True):
        own.lag_records = int(value)


def test_a_stage_without_a_fault_is_well_and_says_what_it_does() -> None:
    verdict = judge(a_stage())
    assert (verdict.level, verdict.cause) == (Level.WELL, None)
    assert verdict.reason == "running, no lag"


def _failed(metrics: StageMetrics) -> None:
    metrics.state = StageState.FAILED


def _topic(metrics: StageMetrics) -> None:
    metrics.topic_faults["out"] = TopicFault("topic out does not exist", NOW - 3, is_missing=True)


def _grown(metrics: StageMetrics) -> None:
    metrics.topic_faults["raw"] = TopicFault("topic raw has grown", NOW - 3)


def _cut_off(metrics: StageMetrics) -> None:
    metrics.cut_off_since = NOW - 12


def _never_joined(metrics: StageMetrics) -> None:
    metrics.cut_off_since, metrics.rebalances = NOW - 12, 0


def _held(metrics: StageMetrics) -> None:
    metrics.held_since, metrics.held_reason = NOW - 5, "calls fail with OSError"


def _beyond(metrics: StageMetrics) -> None:
    _held(metrics)
    metrics.hold_kind = HoldKind.BUDGET


def _unclear(metrics: StageMetrics) -> None:
    _held(metrics)
    metrics.hold_kind = HoldKind.FAILURES


def _blocked(metrics: StageMetrics) -> None:
    metrics.loop = LoopBlocks()
    metrics.loop.add(LoopBlock(NOW - 9, 8.0, "a.py:3 in f", "orders", "check", "f"))


def _stalled(metrics: StageMetrics) -> None:
    lag(metrics, 5)
    metrics.last_progress_at = NOW - 61


def _unknown(metrics: StageMetrics) -> None:
    metrics.partitions[TopicPartition("raw", 0)].lag_records = None
    metrics.lag_unknown_since = NOW - 11


def _member(metrics: StageMetrics) -> None:
    slow = MemberState("slow", 0, 4, BreakerState.OPEN, 1.0, calls=9, failures=9, opened_at=NOW - 7)
    metrics.pools = {"score": lambda _: [slow]}


def _foreign(metrics: StageMetrics) -> None:
    metrics.foreign_members = Notice("client 'other' has 3 partitions", NOW - 1)


def _moved(metrics: StageMetrics) -> None:
    metrics.positions_moved = Notice("no worker has committed where it starts", NOW - 119)


def _skewed(metrics: StageMetrics) -> None:
    metrics.clock_skew = ClockSkew("raw[0]", 172_800.0, NOW - 50)


def _kept_shortly(metrics: StageMetrics) -> None:
    metrics.retention_seconds = {"raw": 3600.0}
    metrics.partitions[TopicPartition("raw", 0)].retention_left_seconds = 600.0


def _forgotten(metrics: StageMetrics) -> None:
    week = 604_800.0
    metrics.open_letters = OpenLetters("orders.check.dlq", 1200, NOW - week + 3600, week)


def _stuck(metrics: StageMetrics) -> None:
    metrics.stuck_attempts = 2


@pytest.mark.parametrize(
    ("fault", "cause", "evidence"),
    [
        (_failed, Cause.STAGE_FAILED, "ended by a failure"),
        (_topic, Cause.TOPIC_MISSING, "topic out does not exist, for 3 s"),
        (_grown, Cause.PARTITIONS_UNREAD, "raw has grown"),
        (_cut_off, Cause.BROKER_UNREACHABLE, "for 12 s"),
        (_never_joined, Cause.NO_ASSIGNMENT, "no assignment from its group for 12 s"),
        (_held, Cause.DEPENDENCY_DOWN, "calls fail with OSError"),
        (_unclear, Cause.MOST_RECORDS_FAIL, "records are held for 5 s"),
        (_beyond, Cause.DEAD_LETTER_BUDGET, "records are held for 5 s"),
        (_blocked, Cause.LOOP_BLOCKED, "agent 'f' of stage 'check' has blocked the event loop"),
        (_stalled, Cause.STALLED, "lag of 5 records and no progress for 61 s"),
        (_unknown, Cause.LAG_UNKNOWN, "lag of raw[0] not known for 11 s"),
        (_member, Cause.MEMBER_LEFT_OUT, "left out of 1 members: slow"),
        (_stuck, Cause.ATTEMPTS_STUCK, "2 attempts go on"),
        (_foreign, Cause.FOREIGN_MEMBERS, "client 'other' has 3 partitions"),
        (_moved, Cause.POSITIONS_MOVED, "no worker has committed where it starts"),
        (_skewed, Cause.CLOCK_SKEW, "records of raw[0] are 2 d 0 h ahead of the clock here"),
        (
            _forgotten,
            Cause.LETTERS_EXPIRING,
            "1,200 dead letters in orders.check.dlq, of which the oldest will be deleted in 1 h",
        ),
        (_kept_shortly, Cause.RETENTION_NEAR, "raw[0] will be deleted in 10 min 0 s"),
    ],
)
def test_a_fault_that_shows_at_once_is_named(
    fault: Callable[[StageMetrics], None], cause: Cause, evidence: str
) -> None:
    stage = a_stage()
    fault(stage)
    verdict = judge(stage)
    assert [one.cause for one in verdict.findings] == [cause]
    assert evidence in verdict.reason
    assert verdict.level is TABLE[cause].level


def _spoilt(metrics: StageMetrics, share: float, failed: float, kinds: int) -> None:
    count, letters, at = int(1000 * share), int(1000 * share * failed), WALL + share * 60
    for number in range(metrics.dead_lettered, letters):
        metrics.letter_kinds.count(str(number % kinds), "ValueError", "permanent", at)
    metrics.processed, metrics.dead_lettered = count - letters, letters
    metrics.acknowledged_records = count


def test_one_record_of_a_hundred_that_fails_is_normal() -> None:
    verdict = over_a_minute(a_stage(), lambda m, share: _spoilt(m, share, 0.01, 1))
    assert verdict.level is Level.WELL


def test_many_records_that_fail_in_one_way_are_a_burst_with_its_fingerprint() -> None:
    verdict = over_a_minute(a_stage(), lambda m, share: _spoilt(m, share, 0.2, 1))
    assert verdict.cause is Cause.POISON_BURST
    assert "200 of 1,000 records failed for good within 60 s (20%)" in verdict.reason
    assert "ValueError (0)" in verdict.reason


@pytest.mark.parametrize(("failed", "level"), [(0.2, Level.ATTENTION), (0.5, Level.FAILING)])
def test_many_that_fail_in_many_ways_are_a_ratio(failed: float, level: Level) -> None:
    verdict = over_a_minute(a_stage(), lambda m, share: _spoilt(m, share, failed, 5))
    assert (verdict.cause, verdict.level) == (Cause.ERROR_RATIO, level)


def test_a_burst_that_is_over_is_not_told_any_more() -> None:
    stage = a_stage()
    over_a_minute(stage, lambda m, share: _spoilt(m, share, 0.2, 1))
    for second in range(0, 65, 5):
        stage.processed += 100
        stage.recent.sample(stage, NOW + second)
    assert verdict_of(stage, NOW + 65, STALL_SECONDS).level is Level.WELL


def _commits_fail(metrics: StageMetrics, share: float) -> None:
    metrics.commit_failures = int(4 * share)


def _refused(metrics: StageMetrics, share: float) -> None:
    metrics.producer_replacements = int(4 * share)


def _lost(metrics: StageMetrics, share: float) -> None:
    metrics.position_resets = int(share)


def _rebalancing(metrics: StageMetrics, share: float) -> None:
    metrics.rebalances = int(6 * share)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (_commits_fail, Cause.COMMITS_FAILING),
        (_refused, Cause.BATCHES_REFUSED),
        (_lost, Cause.POSITIONS_LOST),
        (_rebalancing, Cause.REBALANCE_LOOP),
    ],
)
def test_what_goes_wrong_again_and_again_is_named(
    fault: Callable[[StageMetrics, float], None], cause: Cause
) -> None:
    assert over_a_minute(a_stage(), fault).cause is cause


def grows(metrics: StageMetrics, share: float, *, seconds: float, places: int) -> None:
    """Lag that grows in two partitions alike, with attempts that took so long in all."""
    metrics.attempts_at_once, metrics.max_in_flight_records = places, 100
    lag(metrics, 1000 + 2000 * share, 1000 + 2000 * share)
    metrics.acknowledged_records = int(600 * share)
    metrics.attempt_duration.counts[10] = int(600 * share)
    metrics.attempt_duration.total = int(seconds * share * 1e6)


def causes(verdict: Verdict) -> set[Cause]:
    return {one.cause for one in verdict.findings}


def test_lag_that_grows_under_a_busy_agent_is_the_agents() -> None:
    verdict = over_a_minute(a_stage(0, 0), lambda m, share: grows(m, share, seconds=230, places=4))
    assert causes(verdict) == {Cause.SLOW_AGENT, Cause.LAG_GROWING}
    assert "4 at a time" in verdict.reason
    assert "from 4,000 to 6,000 records within 30 s; 10 records/s finish" in verdict.reason


def test_lag_that_grows_with_time_to_spare_has_no_known_reason() -> None:
    verdict = over_a_minute(a_stage(0, 0), lambda m, share: grows(m, share, seconds=9, places=4))
    assert causes(verdict) == {Cause.LAG_GROWING}


def test_lag_that_shrinks_or_stays_is_well() -> None:
    assert over_a_minute(a_stage(), lambda m, share: lag(m, 5000 - 4900 * share)).cause is None
    assert over_a_minute(a_stage(), lambda m, _: lag(m, 5000)).cause is None


def test_few_keys_that_keep_an_intake_full_are_named() -> None:
    def hot(metrics: StageMetrics, share: float) -> None:
        grows(metrics, share, seconds=60, places=64)
        metrics.in_flight_records, metrics.busy_lanes = 1000, 1

    verdict = over_a_minute(a_stage(0, 0), hot)
    assert verdict.cause is Cause.HOT_KEY
    assert "1 of 64 lanes work, while 1,000 records wait for others of their keys" in verdict.reason


def test_a_partition_with_nearly_all_of_the_lag_is_named() -> None:
    def skewed(metrics: StageMetrics, share: float) -> None:
        lag(metrics, 0, 1000 + 2000 * share)

    verdict = over_a_minute(a_stage(0, 0), skewed)
    assert verdict.cause is Cause.SKEWED_PARTITION
    assert "raw[1] has 100% of the lag" in verdict.reason


def test_the_gravest_is_told_first_and_causes_before_effects() -> None:
    stage = a_stage()
    for fault in (_member, _stalled, _topic, _cut_off):
        fault(stage)
    assert [one.cause for one in judge(stage).findings] == [
        Cause.TOPIC_MISSING,
        Cause.BROKER_UNREACHABLE,
        Cause.MEMBER_LEFT_OUT,
        Cause.STALLED,  # which the first two explain
    ]


def test_what_somebody_else_has_done_once_is_told_for_a_while() -> None:
    stage = a_stage()
    stage.positions_moved = Notice("no worker has committed where it starts", NOW - 121)
    stage.clock_skew = ClockSkew("raw[0]", -172_800.0, NOW - 61)
    assert judge(stage).level is Level.WELL


HOUR, DAY = 3600.0, 86_400.0


@pytest.mark.parametrize(
    ("kept", "left", "expires"),
    [
        (7 * DAY, DAY - 1, True),
        (7 * DAY, DAY + 1, False),
        (30 * DAY, 3 * DAY - 1, True),
        (30 * DAY, 3 * DAY + 1, False),
        (HOUR, HOUR / 2 - 1, True),
        (HOUR, HOUR / 2 + 1, False),
        (None, 0.0, False),
    ],
)
def test_letters_expire_in_the_last_day_or_tenth_of_what_their_topic_keeps(
    kept: float | None, left: float, *, expires: bool
) -> None:
    stage = a_stage()
    stage.open_letters = OpenLetters("dlq", 1, NOW - (kept or HOUR) + left, kept)
    assert (judge(stage).cause is Cause.LETTERS_EXPIRING) is expires


def test_letters_with_which_all_was_done_do_not_expire() -> None:
    stage = a_stage()
    stage.open_letters = OpenLetters("dlq", 0, None, HOUR)
    assert judge(stage).level is Level.WELL


def test_a_restart_is_asked_for_only_where_it_helps() -> None:
    stalled, held, missing = a_stage(), a_stage(), a_stage()
    _stalled(stalled)
    for stage in (held, missing):
        _stalled(stage)
    _held(held)
    _topic(missing)
    assert not is_live(judge(stalled), stalled)
    stalled.busy_lanes = 2  # attempts that take long, until their deadlines
    assert is_live(judge(stalled), stalled)
    stalled.stuck_attempts = 2  # these have passed them
    assert not is_live(judge(stalled), stalled)
    assert is_live(judge(held), held)
    assert is_live(judge(missing), missing)
    assert is_live(judge(a_stage()), a_stage())


def test_every_cause_has_an_entry_whose_command_can_be_typed() -> None:
    assert set(TABLE) == set(Cause)
    for cause in Cause:
        assert "{" not in next_command(cause, "orders", "check")


def test_what_no_counter_dates_is_told_since_it_was_noticed_and_anew_after_it_was_gone() -> None:
    metrics = a_stage()

    def bursts(_: StageMetrics, share: float) -> None:
        metrics.processed = int(1000 * share)
        metrics.dead_lettered = int(200 * share)

    assert over_a_minute(metrics, bursts).since is None
    notice_findings(metrics, NOW, STALL_SECONDS)
    notice_findings(metrics, NOW + 5, STALL_SECONDS)
    assert verdict_of(metrics, NOW + 6, STALL_SECONDS).since == NOW
    notice_findings(metrics, NOW + 90, STALL_SECONDS)  # the minute has passed
    for number in range(13):
        bursts(metrics, 1 + number)
        metrics.recent.sample(metrics, NOW + 95 + number * SAMPLE_SECONDS)
    notice_findings(metrics, NOW + 155, STALL_SECONDS)
    assert verdict_of(metrics, NOW + 156, STALL_SECONDS).since == NOW + 155


def test_a_slow_stream_of_which_all_records_fail_is_not_well() -> None:
    metrics = a_stage()
    for number in range(61):
        metrics.dead_lettered = number  # twelve a minute
        metrics.recent.sample(metrics, NOW - 300 + number * SAMPLE_SECONDS)
    verdict = judge(metrics)
    assert (verdict.level, verdict.cause) == (Level.FAILING, Cause.ERROR_RATIO)


def test_two_bad_records_of_twenty_five_are_chance() -> None:
    def two(metrics: StageMetrics, share: float) -> None:
        metrics.processed = int(23 * share)
        metrics.dead_lettered = int(2 * share)

    assert over_a_minute(a_stage(), two).level is Level.WELL


def test_a_stage_that_puts_off_most_of_its_records_needs_attention() -> None:
    metrics = a_stage()

    def change(metrics: StageMetrics, share: float) -> None:
        metrics.processed, metrics.retried_later = int(400 * share), int(600 * share)

    verdict = over_a_minute(metrics, change)
    assert (verdict.level, verdict.cause) == (Level.ATTENTION, Cause.ERROR_RATIO)
    assert verdict.reason == "600 of 1,000 records failed within 60 s, and wait in retry topics"


def test_a_stage_whose_attempts_fail_more_often_than_records_finish_needs_attention() -> None:
    metrics = a_stage()

    def change(metrics: StageMetrics, share: float) -> None:
        metrics.processed, metrics.blamed_attempts = int(30 * share), int(90 * share)

    verdict = over_a_minute(metrics, change)
    assert (verdict.level, verdict.cause) == (Level.ATTENTION, Cause.ERROR_RATIO)
    assert verdict.reason == "90 attempts failed within 60 s, while 30 records were finished"


@pytest.mark.parametrize("again", ["retried_later", "blamed_attempts"])
def test_some_records_that_are_tried_again_are_normal(again: str) -> None:
    metrics = a_stage()

    def change(metrics: StageMetrics, share: float) -> None:
        metrics.processed = int(1000 * share)
        setattr(metrics, again, int(900 * share))

    assert over_a_minute(metrics, change).level is Level.WELL


@pytest.mark.parametrize(
    ("members", "rebalances", "loops"),
    [(None, 5, True), (5, 10, False), (5, 11, True), (30, 60, False), (1, 4, False), (1, 5, True)],
)
def test_a_rolling_restart_of_a_group_is_no_loop_however_large_it_is(
    members: int | None, rebalances: int, *, loops: bool
) -> None:
    stage = a_stage()
    stage.group_members = members

    def change(metrics: StageMetrics, share: float) -> None:
        metrics.rebalances = 1 + int(rebalances * share)

    found = over_a_minute(stage, change).cause
    assert found is (Cause.REBALANCE_LOOP if loops else None)
