import asyncio
import math
import subprocess

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamapp.observability.definitions import BUILD_INFO
from streamapp.observability.exporter import MetricsExporter, StageCollector
from streamapp.observability.histogram import Histogram
from streamapp.observability.metric_readers import READERS
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.partition_metrics import PartitionMetrics, Pause
from streamapp.observability.stage_definitions import STAGE_METRICS
from streamapp.observability.stage_metrics import (
    DeadLetterReason,
    Received,
    StageMetrics,
    StageState,
)
from streamapp.record import TopicPartition
from tests.hand_clock import HandClock
from tests.prometheus import require_tool

FIRST, SECOND = TopicPartition("raw", 0), TopicPartition("raw", 1)
STAGE = {"pipeline": "p", "stage": "s"}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def stage() -> StageMetrics:
    return StageMetrics("p", "s", "raw")


@pytest.fixture
def registry(clock: HandClock, stage: StageMetrics) -> CollectorRegistry:
    collector = StageCollector(clock)
    collector.add(stage)
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def _value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"streamapp_{name}", STAGE | labels)


def test_the_readers_are_the_table() -> None:
    assert list(READERS) == [metric.name for metric in STAGE_METRICS]


def test_counters_are_exported_as_they_stand(
    registry: CollectorRegistry, stage: StageMetrics
) -> None:
    stage.received["raw"] = Received(11, 12)
    stage.retries, stage.timeouts = 13, 14
    stage.commits, stage.commit_failures, stage.rebalances = 15, 16, 17
    stage.producer_replacements, stage.in_flight_records, stage.in_flight_bytes = 18, 19, 20
    stage.busy_lanes = 21
    stage.filtered = 22
    stage.records_out["valid"] = 23
    stage.dead_letters[DeadLetterReason.EXHAUSTED] = 24
    assert _value(registry, "received_records_total", topic="raw") == 11
    assert _value(registry, "received_bytes_total", topic="raw") == 12
    assert _value(registry, "retries_total") == 13
    assert _value(registry, "timeouts_total") == 14
    assert _value(registry, "commits_total") == 15
    assert _value(registry, "commit_failures_total") == 16
    assert _value(registry, "rebalances_total") == 17
    assert _value(registry, "producer_replacements_total") == 18
    assert _value(registry, "in_flight_records") == 19
    assert _value(registry, "in_flight_bytes") == 20
    assert _value(registry, "busy_lanes") == 21
    assert _value(registry, "finished_records_total", outcome="filtered") == 22
    assert _value(registry, "finished_records_total", outcome="processed") == 0
    assert _value(registry, "produced_records_total", topic="valid") == 23
    assert _value(registry, "dead_letters_total", reason="exhausted") == 24


def test_histogram_buckets_are_cumulative_and_in_seconds(
    registry: CollectorRegistry, stage: StageMetrics
) -> None:
    for microseconds in (0, 1, 3, 900):
        stage.attempt_duration.observe(microseconds)
    bucket = "attempt_duration_seconds_bucket"
    assert _value(registry, bucket, le="0.0") == 1
    assert _value(registry, bucket, le="1e-06") == 2
    assert _value(registry, bucket, le="3e-06") == 3
    assert _value(registry, bucket, le="0.000511") == 3
    assert _value(registry, bucket, le="0.001023") == 4
    assert _value(registry, bucket, le="+Inf") == 4
    assert _value(registry, "attempt_duration_seconds_count") == 4
    assert _value(registry, "attempt_duration_seconds_sum") == pytest.approx(904e-6)


def test_batches_are_told_of_stages_that_have_some(
    registry: CollectorRegistry, stage: StageMetrics
) -> None:
    assert _value(registry, "batch_records_count") is None
    assert _value(registry, "failed_batches_total") is None
    stage.batch_records = Histogram(unit_seconds=1, buckets=16)
    assert _value(registry, "batch_records_count") == 0
    assert _value(registry, "failed_batches_total") == 0
    for size in (1, 100):
        stage.batch_records.observe(size)
    stage.failed_batches = 1
    assert _value(registry, "batch_records_bucket", le="1.0") == 1
    assert _value(registry, "batch_records_bucket", le="63.0") == 1
    assert _value(registry, "batch_records_bucket", le="127.0") == 2
    assert _value(registry, "batch_records_sum") == 101
    assert _value(registry, "failed_batches_total") == 1


def test_a_value_beyond_every_bound_is_counted_as_infinite(
    registry: CollectorRegistry, stage: StageMetrics
) -> None:
    stage.attempt_duration.observe(1 << 40)
    assert _value(registry, "attempt_duration_seconds_bucket", le="1073.741823") == 0
    assert _value(registry, "attempt_duration_seconds_bucket", le="+Inf") == 1


def test_lag_is_absent_until_known_and_zero_without(
    registry: CollectorRegistry, stage: StageMetrics, clock: HandClock
) -> None:
    partition = stage.partitions[FIRST] = PartitionMetrics()
    raw = {"topic": "raw", "partition": "0"}
    assert _value(registry, "lag_records", **raw) is None
    assert _value(registry, "lag_seconds", **raw) is None
    partition.lag_records = 0
    assert _value(registry, "lag_records", **raw) == 0
    assert _value(registry, "lag_seconds", **raw) == 0
    partition.lag_records = 4
    assert _value(registry, "lag_records", **raw) == 4
    assert _value(registry, "lag_seconds", **raw) is None
    partition.oldest_timestamp_seconds = clock.time() - 30
    assert _value(registry, "lag_seconds", **raw) == 30
    partition.oldest_timestamp_seconds = clock.time() + 30
    assert _value(registry, "lag_seconds", **raw) == 0


def test_open_letters_are_absent_until_known_and_expire_only_if_something_is_deleted(
    registry: CollectorRegistry, stage: StageMetrics, clock: HandClock
) -> None:
    names = ("depth_records", "oldest_age_seconds", "expiry_seconds")

    def told() -> list[float | None]:
        return [_value(registry, f"dead_letter_{name}", topic="dlq") for name in names]

    assert told() == [None, None, None]
    stage.open_letters = OpenLetters("dlq", 0, None, 60.0)
    assert told() == [0, 0, None]
    stage.open_letters = OpenLetters("dlq", 3, clock.monotonic() - 10, None)
    assert told() == [3, 10, None]
    stage.open_letters = OpenLetters("dlq", 3, clock.monotonic() - 10, 60.0)
    assert told() == [3, 10, 50]
    clock.advance(60)
    assert told() == [3, 70, 0]
    stage.open_letters = OpenLetters("dlq", 3, None, 60.0)
    assert told() == [3, None, None]


def test_series_of_a_revoked_partition_vanish(
    registry: CollectorRegistry, stage: StageMetrics
) -> None:
    stage.partitions = {
        FIRST: PartitionMetrics(0),
        SECOND: PartitionMetrics(0, pause=Pause.BEHIND_ONE),
    }
    assert _value(registry, "partition_blocked", topic="raw", partition="1") == 1
    assert _value(registry, "partition_blocked", topic="raw", partition="0") == 0
    del stage.partitions[SECOND]
    for name in ("partition_blocked", "lag_records", "lag_seconds"):
        assert _value(registry, name, topic="raw", partition="1") is None
        assert _value(registry, name, topic="raw", partition="0") == 0


def test_ages_count_from_the_last_time_and_are_absent_before_the_first(
    registry: CollectorRegistry, stage: StageMetrics, clock: HandClock
) -> None:
    assert _value(registry, "last_commit_age_seconds") is None
    assert _value(registry, "last_progress_age_seconds") is None
    stage.last_commit_at = clock.monotonic()
    clock.advance(2)
    stage.last_progress_at = clock.monotonic()
    clock.advance(5)
    assert _value(registry, "last_commit_age_seconds") == 7
    assert _value(registry, "last_progress_age_seconds") == 5


def test_exactly_one_state_is_one(registry: CollectorRegistry, stage: StageMetrics) -> None:
    stage.state = StageState.DRAINING
    values = {state: _value(registry, "stage_state", state=state) for state in StageState}
    assert values.pop(StageState.DRAINING) == 1
    assert set(values.values()) == {0}


def test_a_stage_cannot_be_exported_twice(clock: HandClock, stage: StageMetrics) -> None:
    collector = StageCollector(clock)
    collector.add(stage)
    with pytest.raises(ValueError, match="stage 's' of pipeline 'p' is exported already"):
        collector.add(StageMetrics("p", "s", "other"))


def test_a_removed_stage_leaves_no_series(clock: HandClock, stage: StageMetrics) -> None:
    collector = StageCollector(clock)
    collector.add(stage)
    collector.remove(StageMetrics("p", "s", "raw"))
    assert collector.stages == (stage,)
    collector.remove(stage)
    assert [
        s for family in collector.collect() for s in family.samples if "stage" in s.labels
    ] == []


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
async def test_awkward_label_values_come_back_as_they_were(clock: HandClock, accept: str) -> None:
    awkward = 'a"b\\c\nd{e}=ü'
    exporter = MetricsExporter(clock)
    exporter.stages.add(StageMetrics("p", awkward, "raw"))
    body, content_type = await exporter.render(accept)
    assert content_type.startswith(accept.split(";", maxsplit=1)[0] or "text/plain")
    parse = parse_openmetrics if accept else parse_text
    stages = {s.labels.get("stage") for family in parse(body.decode()) for s in family.samples}
    assert stages == {None, awkward}


async def test_the_page_holds_the_whole_table_and_the_process(
    clock: HandClock, stage: StageMetrics
) -> None:
    exporter = MetricsExporter(clock)
    exporter.stages.add(stage)
    body, _ = await exporter.render("application/openmetrics-text;version=1.0.0")
    families = {f.name: f for f in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]  # the library says no types here
    own = (*STAGE_METRICS, BUILD_INFO)
    assert {metric.name.removesuffix("_total") for metric in own} <= set(families)
    assert "process_resident_memory_bytes" in families
    assert "python_gc_objects_collected" in families
    assert families["streamapp_attempt_duration_seconds"].unit == "seconds"
    assert not any(math.isnan(s.value) for family in families.values() for s in family.samples)


async def test_promtool_finds_nothing_to_object_to(clock: HandClock, stage: StageMetrics) -> None:
    promtool = require_tool("promtool")
    stage.partitions[FIRST] = PartitionMetrics(3, clock.time())
    stage.last_commit_at = stage.last_progress_at = clock.monotonic()
    stage.records_out["valid"] += 1
    exporter = MetricsExporter(clock)
    exporter.stages.add(stage)
    body, _ = await exporter.render("")
    check = subprocess.run(  # noqa: ASYNC221, S603 - milliseconds; the binary is ours to name
        [promtool, "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")


def test_every_counter_of_a_new_stage_is_zero(registry: CollectorRegistry) -> None:
    values = {
        sample.name: sample.value
        for family in registry.collect()
        for sample in family.samples
        if "stage" in sample.labels and not {"state", "level"} & sample.labels.keys()
    }
    assert values.pop("streamapp_lanes") == 1
    assert len(values) > 20
    assert set(values.values()) == {0}


def test_ages_are_not_negative_when_the_instant_is_ahead_of_the_scrape(
    registry: CollectorRegistry, stage: StageMetrics, clock: HandClock
) -> None:
    stage.last_commit_at = stage.cut_off_since = clock.monotonic() + 5
    stage.partitions[FIRST] = PartitionMetrics(3, last_progress_at=clock.monotonic() + 5)
    raw = {"topic": "raw", "partition": "0"}
    assert _value(registry, "last_commit_age_seconds") == 0
    assert _value(registry, "cut_off_seconds") == 0
    assert _value(registry, "partition_progress_age_seconds", **raw) == 0


def test_the_progress_of_a_partition_ages_only_while_it_has_lag(
    registry: CollectorRegistry, stage: StageMetrics, clock: HandClock
) -> None:
    partition = stage.partitions[FIRST] = PartitionMetrics(3, last_progress_at=clock.monotonic())
    raw = {"topic": "raw", "partition": "0"}
    clock.advance(8)
    assert _value(registry, "partition_progress_age_seconds", **raw) == 8
    partition.lag_records = 0
    assert _value(registry, "partition_progress_age_seconds", **raw) == 0


async def test_a_page_tells_of_the_platform(clock: HandClock) -> None:
    body, _ = await MetricsExporter(clock).render("")
    assert b"python_info{" in body


async def test_others_have_a_turn_while_a_page_is_made(
    clock: HandClock, stage: StageMetrics
) -> None:
    exporter = MetricsExporter(clock)
    exporter.stages.add(stage)
    turns = 0
    done = False

    async def others() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await exporter.render("")
    done = True
    await task
    assert turns >= len(STAGE_METRICS)
