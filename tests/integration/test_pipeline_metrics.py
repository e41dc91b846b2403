"""A real Prometheus scrapes a pipeline that runs on a real Kafka."""

import asyncio
import re
from collections.abc import Callable, Sequence

import pytest

from streamapp.cli.serving import serving
from streamapp.clock import SystemClock
from streamapp.errors import Permanent
from streamapp.observability.alerts.rule_file import rule_file
from streamapp.observability.dashboards.catalogue import DASHBOARDS
from streamapp.observability.dashboards.dashboard import Dashboard
from streamapp.observability.dashboards.overview import OVERVIEW
from streamapp.observability.dashboards.pipeline import PIPELINE
from streamapp.pipeline.agent import agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from tests.contract.conftest import kafka_subject
from tests.contract.pipelines import Item, Rig, eventually
from tests.dashboards import asked_by
from tests.kafka import Kafka, unique_name
from tests.prometheus import Prometheus, Sample

Check = Callable[[Sequence[Sample]], bool]


@agent
def validate(item: Item) -> Item | None:
    return item if item.n % 10 else None


class Enrich:
    def __init__(self) -> None:
        self.failed_once: set[int] = set()

    async def __call__(self, item: Item) -> Item:
        await asyncio.sleep(0.001)
        if item.n % 7 == 3:
            raise LookupError("no such title")
        if item.n % 7 == 4 and item.n not in self.failed_once:
            self.failed_once.add(item.n)
            raise OSError("busy")
        return item


async def test_prometheus_sees_what_a_running_pipeline_does(
    kafka: Kafka, prometheus: Prometheus
) -> None:
    rig = Rig(kafka_subject(kafka), unique_name("watched"))
    policy = retry(1, backoff=Backoff(base_seconds=0.001))
    pipeline = (
        rig.pipeline()
        .stage(validate)
        # Without a breaker: most of its 50 keys fail now and then, which the rule of distinct keys
        # may take for an outage. A hold is not what is measured here.
        .stage(agent(name="enrich")(Enrich()), on_error=policy, concurrency=16, breaker=None)
        .sink(rig.out)
    )
    await rig.create(pipeline)
    async with (
        rig.running(pipeline) as service,
        serving(service.metrics, SystemClock(), port=0) as server,
    ):
        await prometheus.scrape(server.port, rules=rule_file([pipeline.name]))
        # In parts with a scrape between them, so that there is a rate.
        for part in range(3):
            await rig.put_items(range(part * 700, part * 700 + 700), keys=50)
            await eventually(lambda done=700 * (part + 1): service.metrics[0].records_in >= done)
            await scraped_once_more(prometheus)
        received = 'sum by (stage) (streamapp_received_records_total{stage="%s"})'
        await prometheus.eventually(received % "validate", is_value(2100))
        await prometheus.eventually(received % "enrich", is_value(1890))
        outcome = 'streamapp_finished_records_total{stage="%s",outcome="%s"}'
        good = [n for n in range(2100) if n % 10 and n % 7 != 3]
        bad = 1890 - len(good)
        await prometheus.eventually(outcome % ("validate", "filtered"), is_value(210))
        await prometheus.eventually(outcome % ("enrich", "processed"), is_value(len(good)))
        await prometheus.eventually(outcome % ("enrich", "dead_lettered"), is_value(bad))
        letters = 'streamapp_dead_letters_total{stage="enrich",reason="exhausted"}'
        await prometheus.eventually(letters, is_value(bad))
        await prometheus.eventually(
            'streamapp_retries_total{stage="enrich"}', is_value_in(range(bad, 2 * 1890))
        )
        await prometheus.eventually(
            f'streamapp_produced_records_total{{topic="{rig.out}"}}', is_value(len(good))
        )
        await prometheus.eventually('sum(streamapp_lag_records{stage="enrich"})', is_value(0))
        await prometheus.eventually("sum(streamapp_in_flight_records)", is_value(0))
        await prometheus.eventually("min(streamapp_rebalances_total)", is_value(1))
        await prometheus.eventually(
            "max(streamapp_last_commit_age_seconds)", is_value_in(range(60))
        )
        [(_, rate)] = await prometheus.query(
            'sum(rate(streamapp_received_records_total{stage="validate"}[1m]))'
        )
        assert rate > 0
        [(_, median)] = await prometheus.query(
            "histogram_quantile(0.5, sum by (le) ("
            'rate(streamapp_attempt_duration_seconds_bucket{stage="enrich"}[1m])))'
        )
        assert median >= 0.0005  # the agent sleeps for a millisecond
        [(_, age)] = await prometheus.query(
            "histogram_quantile(0.99, sum by (le) (rate(streamapp_record_age_seconds_bucket[1m])))"
        )
        assert age > 0
        await panels_show_what_it_does(prometheus, bad / 1890)
        # Groups of rules are evaluated one after the other: what burns is told by recorded ratios.
        await prometheus.eventually("ALERTS", lambda found: named_by(found) >= BAD_FOR_A_SEVENTH)
        assert await alerts(prometheus) == BAD_FOR_A_SEVENTH


BAD_FOR_A_SEVENTH = {
    "StreamappPoisonBurst",
    "StreamappErrorBudgetBurnFast",
    "StreamappErrorBudgetBurnSlow",
}
"""What tells that every seventh record fails with the same error, which is not its own fault."""


async def alerts(prometheus: Prometheus) -> set[str]:
    """Names of the alerts that fire, or will when they have held for long enough."""
    return named_by(await prometheus.query("ALERTS"))


def named_by(found: Sequence[Sample]) -> set[str]:
    """Names of the alerts of samples of `ALERTS`."""
    return {labels["alertname"] for labels, _ in found}


@agent
def check(item: Item) -> Item:
    if item.n % 100 == 0:
        raise Permanent("no such title")
    return item


async def test_one_bad_record_in_a_hundred_and_a_restart_set_no_alert_off(
    kafka: Kafka, prometheus: Prometheus
) -> None:
    rig = Rig(kafka_subject(kafka), unique_name("usual"))
    pipeline = rig.pipeline().stage(check).sink(rig.out)
    await rig.create(pipeline)
    port, seen = None, set[str]()
    for run in range(2):
        async with (
            rig.running(pipeline) as service,
            serving(service.metrics, SystemClock(), port=port or 0) as server,
        ):
            if port is None:
                port = server.port
                await prometheus.scrape(port, rules=rule_file([pipeline.name]))
            await rig.put_items(range(run * 3000, run * 3000 + 3000), keys=50)
            await eventually(lambda own=service: own.metrics[0].records_in >= 3000)
            letters = 'streamapp_dead_letters_total{reason="permanent"}'
            await prometheus.eventually(letters, is_value(30))
            await prometheus.eventually("sum(streamapp_lag_records)", is_value(0))
            level = 'streamapp_stage_level{level="well"}'
            await prometheus.eventually(level, is_value(1))
            await scraped_once_more(prometheus)
            seen |= await alerts(prometheus)
    assert seen == set()


ABSENT = (
    "batch_records|failed_batches|member_|part_|model_|later_retries|waiting_records|retry_wait"
    "|topic_fault|worker_|execution_duration|dead_letter_budget|retention_left|group_|exporter_"
    "|(held_seconds|rebalances_total).*> 0$"
)
"""What it lacks: batches, pools, parts, models, later retries, workers, holds, events, lag, and an
exporter."""


async def panels_show_what_it_does(prometheus: Prometheus, failed: float) -> None:
    """Every query of every dashboard finds series, and some are known."""
    await prometheus.eventually("streamapp_stage_cause", lambda found: len(found) > 0)
    empty = []
    for dashboard in DASHBOARDS:
        for title, promql in asked_by(dashboard):
            found = await prometheus.query(promql.replace("[10s]", "[5m]"))
            if not found and not re.search(ABSENT, promql):
                empty.append(f"{dashboard.name}, {title}: {promql}")
    assert empty == []

    async def panel(title: str, dashboard: Dashboard, number: int = 0) -> dict[str, float]:
        """Values of a query of a panel, by stage."""
        [*queries] = [promql for name, promql in asked_by(dashboard) if name == title]
        found = await prometheus.query(queries[number].replace("[10s]", "[5m]"))
        return {labels["stage"]: value for labels, value in found}

    assert await panel("Stages", PIPELINE) == {"validate": 1, "enrich": 2}
    shares = await panel("Share of records that fail for good", OVERVIEW)
    assert shares == {"validate": 0, "enrich": pytest.approx(failed, rel=0.1)}
    assert await panel("Lag in records", OVERVIEW) == {"validate": 0, "enrich": 0}
    assert await panel("Partitions that no worker reads", OVERVIEW) == {"validate": 0, "enrich": 0}
    assert (await panel("How stages did", OVERVIEW))["enrich"] == 3, "it fails, by a poison burst"
    acknowledged = await panel("Records finished and acknowledged", OVERVIEW)
    assert acknowledged["validate"] == pytest.approx(acknowledged["enrich"] * 2100 / 1890, rel=0.2)


async def scraped_once_more(prometheus: Prometheus) -> None:
    """Wait for a sample that is younger than now."""
    [(_, before)] = await prometheus.eventually("timestamp(up)", lambda found: len(found) == 1)
    await prometheus.eventually("timestamp(up)", lambda found: found[0][1] > before)


def is_value(expected: float) -> Check:
    return lambda found: [value for _, value in found] == [expected]


def is_value_in(expected: range) -> Check:
    return lambda found: len(found) == 1 and expected.start <= found[0][1] < expected.stop
