"""A real Prometheus scrapes the real web server; the test moves the counters as a runtime would."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.clock import Clock, SystemClock
from streamapp.exporter.families import OutsideCollector
from streamapp.exporter.group_reader import GroupReader
from streamapp.exporter.snapshot import PartitionLag, Snapshot
from streamapp.exporter.watch import OutsideWatch
from streamapp.observability.dashboards.catalogue import DASHBOARDS
from streamapp.observability.definitions import METRICS
from streamapp.observability.execution_figures import PrometheusCollector
from streamapp.observability.exemplars import Exemplars
from streamapp.observability.exporter import MetricsExporter
from streamapp.observability.histogram import Histogram
from streamapp.observability.labels import LABELS
from streamapp.observability.model_usage import ModelUsage
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.progress import ProgressWatch
from streamapp.observability.stage_metrics import (
    BreakerState,
    DeadLetterReason,
    HoldKind,
    MemberState,
    PartFigures,
    StageMetrics,
    StageState,
    TopicFault,
)
from streamapp.record import TopicPartition
from streamapp.status import PipelineStatus
from streamapp.supervisor.exposition import worker_families
from streamapp.supervisor.restarts import RestartPolicy, Restarts
from streamapp.supervisor.slot import MISSED_POLLS, Slot
from streamapp.web.server import WebServer, WorkerView
from tests.dashboards import asked_by
from tests.prometheus import Prometheus, Sample

FIRST, SECOND = TopicPartition("playback.raw", 0), TopicPartition("playback.raw", 1)
WAITING = TopicPartition("playback-quality.validate.retry-10s", 0)
STAGE = {"pipeline": "playback-quality", "stage": "validate"}


TRACE = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}


class MovingStage:
    """Counters that move ten records every 50 ms until it is stopped."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.metrics = StageMetrics(STAGE["pipeline"], STAGE["stage"], "playback.raw")
        self.metrics.position = 1
        self.metrics.topic_partitions = {FIRST.topic: 2}
        self.metrics.held_since, self.metrics.held_reason = self.clock.monotonic(), "of the budget"
        self.metrics.hold_kind = HoldKind.BUDGET
        self.metrics.lane_time.start(4, self.clock.monotonic())
        self.watch = ProgressWatch(self.metrics, self.clock)
        member = MemberState("quick", 1, 2, BreakerState.CLOSED, 0.1, 3, 1)
        self.metrics.pools = {"both": lambda _now: [member]}
        self.metrics.parts = {"quick": PartFigures(3, 1, 0.5)}
        self.metrics.models = {"quick": ModelUsage(1, 1, 1, 1, 1, 1)}
        now = self.clock.monotonic()
        self.metrics.open_letters = OpenLetters("playback.dlq", 3, now - 60, 3600.0)
        self.metrics.retry_topics = self.metrics.read_retry_topics = (WAITING.topic,)
        self.sizes = self.metrics.batch_records = Histogram(unit_seconds=1, buckets=16)

    def assign(self) -> None:
        self.metrics.state = StageState.RUNNING
        self.metrics.rebalances += 1
        self.metrics.partitions = {name: PartitionMetrics() for name in (FIRST, SECOND, WAITING)}
        self.watch.assigned(self.metrics.partitions)

    async def run(self) -> None:
        while True:
            self.move()
            await asyncio.sleep(0.05)

    def move(self) -> None:
        m = self.metrics
        m.records_in += 10
        m.bytes_in += 1000
        m.received[FIRST.topic].records += 10
        m.received[FIRST.topic].bytes += 1000
        m.processed += 9
        self.sizes.observe(10)
        m.dead_lettered += 1
        m.dead_letters[DeadLetterReason.DECODE] += 1
        m.records_out["playback.valid"] += 9
        for microseconds in (900,) * 9 + (90_000,):
            m.attempt_duration.observe(microseconds)
            m.age.observe(microseconds // 1000)
        if FIRST in m.partitions:
            m.partitions[FIRST].lag_records = 0
        m.partitions[SECOND].lag_records = 7
        m.partitions[SECOND].retention_left_seconds = 3600.0
        m.partitions[WAITING].lag_records = 2
        m.partitions[WAITING].waits_until = self.clock.monotonic() + 10
        m.records_out[WAITING.topic] += 1
        m.partitions[SECOND].oldest_timestamp_seconds = self.clock.time() - 5
        self.watch.lag_measured()
        m.topic_faults["playback.valid"] = TopicFault("playback.valid has grown", 0.0)
        m.commits += 1
        m.rebalances += 1
        m.last_commit_at = self.clock.monotonic()
        self.watch.finished(next(iter(self.metrics.partitions)))


class OneSilentWorker(Collector):
    """What a supervisor tells of a worker that does not answer."""

    def collect(self) -> Iterator[Metric]:
        slot = Slot(0, Restarts(RestartPolicy(), random.Random(1)))
        slot.set_up(None, 0.0)
        slot.missed_polls = MISSED_POLLS
        yield from worker_families([slot], {}, 0.0)


class SeenFromOutside(GroupReader):
    """What an exporter has found: a stage that lags and is read."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic()

    async def look(self) -> Snapshot:
        name = (STAGE["pipeline"], STAGE["stage"])
        return Snapshot(self._now, (PartitionLag(name, SECOND, 7, self._now, 3600.0),), {name: 1})


@pytest.fixture
async def stage() -> AsyncIterator[MovingStage]:
    stage = MovingStage()
    stage.assign()
    running = asyncio.create_task(stage.run())
    yield stage
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def scraped(stage: MovingStage, prometheus: Prometheus) -> AsyncIterator[Prometheus]:
    exemplars = Exemplars()
    place, now = (STAGE["pipeline"], STAGE["stage"]), stage.clock.time()
    exemplars.note(place, TRACE, at=now, duration_seconds=0.0009, age_seconds=0.09)
    exporter = MetricsExporter(stage.clock, exemplars)
    exporter.stages.add(stage.metrics)
    registry = CollectorRegistry()
    collector = PrometheusCollector(registry)
    collector.record_stage_execution(STAGE["pipeline"], STAGE["stage"], 0.5, PipelineStatus.SUCCESS)
    collector.record_pipeline_execution(STAGE["pipeline"], 0.5, PipelineStatus.SUCCESS)
    registry.register(OneSilentWorker())
    outside = OutsideWatch(MemoryBroker(stage.clock), stage.clock, (), interval_seconds=15)
    await outside.look(SeenFromOutside(stage.clock), None)
    registry.register(OutsideCollector(outside, stage.clock))

    async def render(accept: str) -> tuple[bytes, str]:
        """A worker's own metrics, those of a collector, of a supervisor and of an exporter."""
        body, content_type = await exporter.render(accept)
        more = choose_encoder(accept)[0](registry)
        return body.removesuffix(b"# EOF\n") + more, content_type

    view = WorkerView(lambda: exporter.stages.stages, render, stage.clock)
    server = WebServer(view)
    await server.start()
    await prometheus.scrape(server.port)
    yield prometheus
    await server.stop()


async def test_rates_and_quantiles_come_out_of_a_moving_stage(scraped: Prometheus) -> None:
    [(labels, rate)] = await scraped.eventually(
        "rate(streamapp_received_records_total[10s])", _one_above_zero
    )
    assert labels == STAGE | {"topic": FIRST.topic}
    assert rate > 0
    [(_, p50)] = await scraped.query(
        "histogram_quantile(0.5, rate(streamapp_attempt_duration_seconds_bucket[10s]))"
    )
    [(_, p99)] = await scraped.query(
        "histogram_quantile(0.99, rate(streamapp_attempt_duration_seconds_bucket[10s]))"
    )
    # 900 us and 90 ms, each within the bucket that holds it.
    assert 0.000511 < p50 <= 0.001023
    assert 0.065535 < p99 <= 0.131071
    [(_, dead)] = await scraped.query(
        "sum(streamapp_dead_letters_total) / sum(streamapp_received_records_total)"
    )
    assert dead == pytest.approx(0.1, abs=0.02)  # families are read a turn apart


async def test_buckets_name_a_trace(scraped: Prometheus) -> None:
    buckets = "streamapp_attempt_duration_seconds_bucket"
    await scraped.eventually(f'{buckets}{{le="0.001023"}}', _one_above_zero)
    assert await scraped.exemplars(buckets) == [(TRACE, 0.0009)]
    assert await scraped.exemplars("streamapp_record_age_seconds_bucket") == [(TRACE, 0.09)]


async def test_lag_is_zero_without_lag_and_counts_seconds_with_it(scraped: Prometheus) -> None:
    samples = await scraped.eventually("streamapp_lag_seconds", lambda found: len(found) == 2)
    lag = {labels["partition"]: value for labels, value in samples}
    assert lag["0"] == 0
    assert lag["1"] == pytest.approx(5, abs=1)


async def test_series_of_a_revoked_partition_go_stale(
    scraped: Prometheus, stage: MovingStage
) -> None:
    source = f'{{topic="{FIRST.topic}"}}'
    await scraped.eventually(f"streamapp_lag_records{source}", lambda found: len(found) == 2)
    del stage.metrics.partitions[FIRST]
    # Prometheus forgets a series only after five minutes unless the target leaves it out.
    for metric in ("streamapp_lag_records", "streamapp_lag_seconds", "streamapp_partition_blocked"):
        [(labels, _)] = await scraped.eventually(metric + source, lambda found: len(found) == 1)
        assert labels == STAGE | {"topic": "playback.raw", "partition": "1"}


async def test_every_metric_arrives_with_its_labels_and_nothing_else_does(
    scraped: Prometheus,
) -> None:
    await scraped.eventually("streamapp_lag_seconds", lambda found: len(found) >= 2)
    arrived = {
        labels["metric"]
        for labels, _ in await scraped.query(
            'count by (metric) (label_replace({__name__=~"streamapp_.+"}, '
            '"metric", "$1", "__name__", "(.+?)(?:_bucket|_count|_sum|_created)?"))'
        )
    }
    assert arrived == {metric.name for metric in METRICS}
    for metric in METRICS:
        name = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
        for labels, value in await scraped.query(name):
            assert tuple(sorted(labels)) == tuple(sorted(metric.labels))
            assert not math.isnan(value)
            for label, text in labels.items():
                closed = LABELS[label].values
                assert not closed or text in closed


async def test_every_query_of_every_dashboard_finds_series(scraped: Prometheus) -> None:
    await scraped.eventually("rate(streamapp_received_records_total[10s])", _one_above_zero)
    empty = []
    for dashboard in DASHBOARDS:
        for title, promql in asked_by(dashboard):
            if not await scraped.query(promql):
                empty.append(f"{dashboard.name}, {title}: {promql}")
    assert empty == []


def _one_above_zero(found: Sequence[Sample]) -> bool:
    return len(found) == 1 and found[0][1] > 0
