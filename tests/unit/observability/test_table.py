"""Every metric of the table, with the value that the counters say and no other."""

import random
from collections.abc import Iterable, Iterator, Mapping

import pytest
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.utils import floatToGoString

from streamapp.observability.definitions import EXECUTION_METRICS, METRICS, OUTSIDE_METRICS
from streamapp.observability.exporter import MetricsExporter
from streamapp.observability.histogram import Histogram
from streamapp.observability.lane_time import Activity
from streamapp.observability.model_usage import ModelUsage
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.partition_metrics import PartitionMetrics, Pause
from streamapp.observability.stage_metrics import (
    BreakerState,
    DeadLetterReason,
    MemberState,
    PartFigures,
    Received,
    ReplacementCause,
    StageMetrics,
    StageState,
    TopicFault,
)
from streamapp.record import TopicPartition
from streamapp.supervisor.exposition import worker_families
from streamapp.supervisor.restarts import RestartPolicy, Restarts
from streamapp.supervisor.slot import MISSED_POLLS, Slot
from streamapp.version import VERSION
from tests.hand_clock import HandClock

LAGS, IDLES, UNKNOWN = (TopicPartition("raw", n) for n in range(3))
WAITS = TopicPartition("retries", 0)


def filled(clock: HandClock) -> StageMetrics:
    """A stage of which no two numbers are equal, as it stood 100 seconds after it began."""
    stage = StageMetrics("p", "s", "raw")
    began_at = clock.monotonic()
    stage.received["raw"] = Received(101, 102)
    stage.processed, stage.filtered, stage.skipped = 103, 104, 105
    stage.dropped, stage.dead_lettered = 106, 107
    stage.retried_later = 143
    stage.acknowledged_records = 154
    stage.retry_topics, stage.read_retry_topics = ("retries",), ["retries"]
    stage.records_out = stage.records_out | {"valid": 108, "p.s.dlq": 109, "retries": 144}
    for microseconds in (0, 3, 4, 250_000, 1 << 31):
        stage.attempt_duration.observe(microseconds)
    for milliseconds in (-5, 7, 8, 1 << 33):
        stage.age.observe(milliseconds)
    stage.batch_records = Histogram(unit_seconds=1, buckets=16)
    for records in (1, 100, 1 << 20):
        stage.batch_records.observe(records)
    stage.failed_batches = 143
    stage.partitions = {
        LAGS: PartitionMetrics(
            110, clock.time() - 11, pause=Pause.BEHIND_ONE, last_progress_at=began_at + 60
        ),
        IDLES: PartitionMetrics(0, None, last_progress_at=began_at),
        UNKNOWN: PartitionMetrics(None, clock.time() - 12, last_progress_at=began_at),
        WAITS: PartitionMetrics(145, clock.time() - 13, waits_until=began_at + 246),
    }
    stage.in_flight_records, stage.in_flight_bytes = 111, 112
    stage.busy_lanes, stage.stuck_attempts = 113, 114
    stage.position = 157
    for name in (LAGS, IDLES):  # what has no lag loses nothing
        stage.partitions[name].retention_left_seconds = 9000.0
    stage.topic_partitions = {"raw": 155}
    stage.max_in_flight_records, stage.attempts_at_once = 156, 3
    stage.lane_time.start(3, began_at)
    stage.lane_time.enter(Activity.IDLE, began_at + 10)
    stage.lane_time.enter(Activity.BLOCKED, began_at + 20)
    stage.lane_time.leave(Activity.BLOCKED, began_at + 60)
    stage.retries, stage.timeouts, stage.unreadable_contexts = 115, 116, 199
    stage.dead_letters = {reason: 120 + n for n, reason in enumerate(DeadLetterReason)}
    stage.open_letters = OpenLetters("p.s.dlq", 158, began_at - 60, 500_000.0)
    stage.commits, stage.commit_failures = 130, 131
    stage.last_commit_at, stage.last_progress_at = began_at + 98, began_at + 97
    stage.cut_off_since, stage.lag_unknown_since = began_at + 96, began_at + 95
    stage.topic_faults = {
        "raw": TopicFault("topic raw does not exist", began_at + 94, is_missing=True)
    }
    stage.assignments_given_up, stage.position_resets, stage.passed_over_offsets = 132, 133, 134
    stage.rebalances, stage.producer_replacements = 135, 136
    stage.held_since, stage.holds, stage.probes = began_at + 93, 137, 138
    stage.breaker_state = BreakerState.OPEN
    stage.replacements = {cause: 152 + n for n, cause in enumerate(ReplacementCause)}
    stage.pools = {
        "pool": lambda now: [MemberState("a", 139, 140, BreakerState.OPEN, now, 141, 142)]
    }
    stage.parts = {"title": PartFigures(143, 144, 145.5)}
    stage.models = {"mend": ModelUsage(146, 147, 148, 149, 150, 151)}
    stage.state = StageState.DRAINING
    clock.advance(100)
    return stage


def line(name: str, value: float, **labels: str) -> str:
    """A line of the exposition; the client sorts labels by name."""
    every = {"pipeline": "p", "stage": "s", **labels}
    listed = ",".join(f'{label}="{text}"' for label, text in sorted(every.items()))
    return f"{name}{{{listed}}} {floatToGoString(value)}"  # type: ignore[no-untyped-call]  # untyped library


def member(name: str, value: float) -> list[str]:
    """The line of the one member of the one pool."""
    return [line(name, value, pool="pool", agent="a")]


def partitions(name: str, *values: float | None) -> list[str]:
    """One line for each partition with a value."""
    return [
        line(name, value, topic="raw", partition=str(n))
        for n, value in enumerate(values)
        if value is not None
    ]


def waits(name: str, value: float) -> str:
    """The line of the partition of the one retry topic."""
    return line(name, value, topic="retries", partition="0")


def histogram(
    name: str, bounds: Iterable[str], counts: Mapping[str, int], total: float
) -> list[str]:
    """Buckets whose count goes up at the bounds given, and what they sum up to."""
    lines, count = [], 0
    for bound in bounds:
        count = counts.get(bound, count)
        lines.append(line(f"{name}_bucket", float(count), le=bound))
    return [*lines, line(f"{name}_count", float(count)), line(f"{name}_sum", total)]


def doubling(unit_seconds: float, buckets: int) -> list[str]:
    """Bounds that double, less one unit, up to one that is infinite."""
    bounds = [f"{(2**n - 1) * unit_seconds:.12g}" for n in range(buckets - 1)]
    return [*(repr(float(bound)) for bound in bounds), "+Inf"]


ELSEWHERE = (*EXECUTION_METRICS, *OUTSIDE_METRICS)
"""Of a collector of their own, and of `streamapp exporter`, which have tests of their own."""

SERVED = [metric.name for metric in METRICS if metric not in ELSEWHERE]
"""Metrics of a worker and of the supervisor."""

DURATION, AGE = "streamapp_attempt_duration_seconds", "streamapp_record_age_seconds"
BATCHES = "streamapp_batch_records"
CAUSES = ("topic_missing", "dependency_down", "attempts_stuck")
"""What is wrong with that stage."""

EXPECTED: dict[str, list[str]] = {
    "streamapp_received_records_total": [
        line("streamapp_received_records_total", 101.0, topic="raw")
    ],
    "streamapp_received_bytes_total": [line("streamapp_received_bytes_total", 102.0, topic="raw")],
    "streamapp_finished_records_total": [
        line("streamapp_finished_records_total", 103.0, outcome="processed"),
        line("streamapp_finished_records_total", 104.0, outcome="filtered"),
        line("streamapp_finished_records_total", 105.0, outcome="skipped"),
        line("streamapp_finished_records_total", 106.0, outcome="dropped"),
        line("streamapp_finished_records_total", 107.0, outcome="dead_lettered"),
        line("streamapp_finished_records_total", 143.0, outcome="retried_later"),
    ],
    "streamapp_acknowledged_records_total": [line("streamapp_acknowledged_records_total", 154.0)],
    "streamapp_produced_records_total": [
        line("streamapp_produced_records_total", 108.0, topic="valid"),
        line("streamapp_produced_records_total", 109.0, topic="p.s.dlq"),
        line("streamapp_produced_records_total", 144.0, topic="retries"),
    ],
    DURATION: histogram(
        DURATION,
        doubling(1e-6, 32),
        {"0.0": 1, "3e-06": 2, "7e-06": 3, "0.262143": 4, "+Inf": 5},
        2147.733655,
    ),
    AGE: histogram(
        AGE, doubling(1e-3, 34), {"0.0": 1, "0.007": 2, "0.015": 3, "+Inf": 4}, 8589934.607
    ),
    BATCHES: histogram(
        BATCHES, doubling(1, 16), {"0.0": 0, "1.0": 1, "127.0": 2, "+Inf": 3}, 1048677.0
    ),
    "streamapp_failed_batches_total": [line("streamapp_failed_batches_total", 143.0)],
    "streamapp_lag_records": [
        *partitions("streamapp_lag_records", 110.0, 0.0, None),
        waits("streamapp_lag_records", 145.0),
    ],
    "streamapp_lag_seconds": [
        *partitions("streamapp_lag_seconds", 111.0, 0.0, None),
        waits("streamapp_lag_seconds", 113.0),
    ],
    "streamapp_retention_left_seconds": partitions("streamapp_retention_left_seconds", 9000.0),
    "streamapp_topic_partitions": [line("streamapp_topic_partitions", 155.0, topic="raw")],
    "streamapp_in_flight_records": [line("streamapp_in_flight_records", 111.0)],
    "streamapp_in_flight_limit_records": [line("streamapp_in_flight_limit_records", 156.0)],
    "streamapp_in_flight_bytes": [line("streamapp_in_flight_bytes", 112.0)],
    "streamapp_busy_lanes": [line("streamapp_busy_lanes", 113.0)],
    "streamapp_lanes": [line("streamapp_lanes", 3.0)],
    "streamapp_lane_seconds_total": [
        line("streamapp_lane_seconds_total", 170.0, activity="busy"),
        line("streamapp_lane_seconds_total", 90.0, activity="idle"),
        line("streamapp_lane_seconds_total", 40.0, activity="blocked"),
    ],
    "streamapp_stuck_attempts": [line("streamapp_stuck_attempts", 114.0)],
    "streamapp_retries_total": [line("streamapp_retries_total", 115.0)],
    "streamapp_later_retries_total": [
        line("streamapp_later_retries_total", 144.0, topic="retries")
    ],
    "streamapp_waiting_records": [waits("streamapp_waiting_records", 145.0)],
    "streamapp_retry_wait_seconds": [waits("streamapp_retry_wait_seconds", 146.0)],
    "streamapp_timeouts_total": [line("streamapp_timeouts_total", 116.0)],
    "streamapp_unreadable_contexts_total": [line("streamapp_unreadable_contexts_total", 199.0)],
    "streamapp_dead_letters_total": [
        line("streamapp_dead_letters_total", 120.0, reason="decode"),
        line("streamapp_dead_letters_total", 121.0, reason="permanent"),
        line("streamapp_dead_letters_total", 122.0, reason="exhausted"),
        line("streamapp_dead_letters_total", 123.0, reason="failed"),
        line("streamapp_dead_letters_total", 124.0, reason="timeout"),
        line("streamapp_dead_letters_total", 125.0, reason="backlog"),
        line("streamapp_dead_letters_total", 126.0, reason="output"),
    ],
    "streamapp_dead_letter_depth_records": [
        line("streamapp_dead_letter_depth_records", 158.0, topic="p.s.dlq")
    ],
    "streamapp_dead_letter_oldest_age_seconds": [
        line("streamapp_dead_letter_oldest_age_seconds", 160.0, topic="p.s.dlq")
    ],
    "streamapp_dead_letter_expiry_seconds": [
        line("streamapp_dead_letter_expiry_seconds", 499_840.0, topic="p.s.dlq")
    ],
    "streamapp_commits_total": [line("streamapp_commits_total", 130.0)],
    "streamapp_commit_failures_total": [line("streamapp_commit_failures_total", 131.0)],
    "streamapp_last_commit_age_seconds": [line("streamapp_last_commit_age_seconds", 2.0)],
    "streamapp_last_progress_age_seconds": [line("streamapp_last_progress_age_seconds", 3.0)],
    "streamapp_cut_off_seconds": [line("streamapp_cut_off_seconds", 4.0)],
    "streamapp_lag_unknown_seconds": [line("streamapp_lag_unknown_seconds", 5.0)],
    "streamapp_topic_fault_seconds": [line("streamapp_topic_fault_seconds", 6.0, topic="raw")],
    "streamapp_partition_progress_age_seconds": partitions(
        "streamapp_partition_progress_age_seconds", 40.0, 0.0, 100.0
    ),
    "streamapp_given_up_assignments_total": [line("streamapp_given_up_assignments_total", 132.0)],
    "streamapp_position_resets_total": [line("streamapp_position_resets_total", 133.0)],
    "streamapp_passed_over_offsets_total": [line("streamapp_passed_over_offsets_total", 134.0)],
    "streamapp_rebalances_total": [line("streamapp_rebalances_total", 135.0)],
    "streamapp_producer_replacements_total": [line("streamapp_producer_replacements_total", 136.0)],
    "streamapp_held_seconds": [line("streamapp_held_seconds", 7.0)],
    "streamapp_holds_total": [line("streamapp_holds_total", 137.0)],
    "streamapp_probes_total": [line("streamapp_probes_total", 138.0)],
    "streamapp_breaker_state": [
        line("streamapp_breaker_state", float(state == "open"), breaker=state)
        for state in ("closed", "open", "half_open")
    ],
    "streamapp_agent_replacements_total": [
        line("streamapp_agent_replacements_total", 152.0, trigger="unregistered"),
        line("streamapp_agent_replacements_total", 153.0, trigger="breaker_open"),
    ],
    "streamapp_part_calls_total": [line("streamapp_part_calls_total", 143.0, agent="title")],
    "streamapp_part_failures_total": [line("streamapp_part_failures_total", 144.0, agent="title")],
    "streamapp_part_duration_seconds_total": [
        line("streamapp_part_duration_seconds_total", 145.5, agent="title")
    ],
    "streamapp_model_calls_total": [line("streamapp_model_calls_total", 146.0, agent="mend")],
    "streamapp_model_failures_total": [
        line("streamapp_model_failures_total", 150.0, agent="mend", fault="record"),
        line("streamapp_model_failures_total", 151.0, agent="mend", fault="world"),
    ],
    "streamapp_model_requests_total": [line("streamapp_model_requests_total", 147.0, agent="mend")],
    "streamapp_model_tokens_total": [
        line("streamapp_model_tokens_total", 148.0, agent="mend", direction="input"),
        line("streamapp_model_tokens_total", 149.0, agent="mend", direction="output"),
    ],
    "streamapp_member_calls_total": member("streamapp_member_calls_total", 141.0),
    "streamapp_member_failures_total": member("streamapp_member_failures_total", 142.0),
    "streamapp_member_active_calls": member("streamapp_member_active_calls", 139.0),
    "streamapp_member_capacity_calls": member("streamapp_member_capacity_calls", 140.0),
    "streamapp_member_score_seconds": member("streamapp_member_score_seconds", 1100.0),
    "streamapp_member_breaker_state": [
        line(
            "streamapp_member_breaker_state",
            float(state == "open"),
            pool="pool",
            agent="a",
            breaker=state,
        )
        for state in ("closed", "open", "half_open")
    ],
    "streamapp_partition_blocked": [
        *partitions("streamapp_partition_blocked", 1.0, 0.0, 0.0),
        waits("streamapp_partition_blocked", 0.0),
    ],
    "streamapp_stage_state": [
        line("streamapp_stage_state", float(state == "draining"), state=state)
        for state in ("starting", "running", "draining", "stopped", "failed")
    ],
    "streamapp_stage_position": [line("streamapp_stage_position", 157.0)],
    "streamapp_stage_level": [
        line("streamapp_stage_level", float(level == "failing"), level=level)
        for level in ("failing", "unknown", "attention", "well")
    ],
    "streamapp_stage_cause": [line("streamapp_stage_cause", 1.0, cause=cause) for cause in CAUSES],
    "streamapp_build_info": [f'streamapp_build_info{{version="{VERSION}"}} 1.0'],
    "streamapp_worker_up": [
        'streamapp_worker_up{worker="0"} 0.0',
        'streamapp_worker_up{worker="1"} 1.0',
    ],
    "streamapp_worker_restarts_total": [
        'streamapp_worker_restarts_total{worker="0"} 2.0',
        'streamapp_worker_restarts_total{worker="1"} 0.0',
        'streamapp_worker_restarts_total{worker="2"} 0.0',
    ],
    "streamapp_worker_cause": ['streamapp_worker_cause{cause="worker_silent",worker="0"} 1.0'],
}


def test_no_metric_of_the_table_is_left_out_here() -> None:
    assert list(EXPECTED) == SERVED


@pytest.mark.parametrize("name", SERVED)
async def test_a_metric_is_exported_with_its_value_and_nothing_else(name: str) -> None:
    clock = HandClock()
    exporter = MetricsExporter(clock)
    exporter.stages.add(filled(clock))
    body, _ = await exporter.render("text/plain")
    lines = (body + generate_latest(Supervised())).decode().splitlines()
    family = {f"{name}{ending}" for ending in ("", "_bucket", "_count", "_sum")}
    assert [found for found in lines if found.partition("{")[0] in family] == EXPECTED[name]


class Supervised:
    """What a supervisor adds: its first worker does not answer, and was started twice more; the
    last one has reached its end.
    """

    def collect(self) -> Iterator[Metric]:
        slots = [Slot(n, Restarts(RestartPolicy(), random.Random(1))) for n in range(3)]
        for _ in range(2):
            slots[0].restarts.decide(-9, ran_seconds=1, any_was_up=True)
        slots[0].set_up(None, 0.0)
        slots[0].missed_polls = MISSED_POLLS
        slots[2].set_ended(0, 0.0)
        yield from worker_families(slots, {1: object()}, 0.0)
