"""The Grafana dashboard as data: deploy/grafana/dashboards/streamapp.json.

Queries take metric names from the table of definitions, so that a renamed metric fails here and
does not leave a panel empty. `python -m streamapp.observability.dashboard` prints the file.
"""

import sys
from dataclasses import dataclass
from typing import Any

import orjson

from streamapp.observability.definitions import METRICS

DATASOURCE_UID = "streamapp-prometheus"
"""Uid of the Prometheus data source, as deploy/grafana/provisioning declares it."""

_METRICS = {metric.name.removeprefix("streamapp_"): metric.name for metric in METRICS}
_SELECTED = '{pipeline=~"$pipeline",stage=~"$stage"}'
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        unit: Grafana's name of the unit.
        queries: PromQL and legend of each line.
        kind: Grafana's panel type.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


_PART = "pipeline, stage, agent"
_MEMBER = "pipeline, stage, pool, agent"


def _metric(name: str, suffix: str = "") -> str:
    return f"{_METRICS[name]}{suffix}{_SELECTED}"


def _rate(name: str, by: str, suffix: str = "") -> str:
    return f"sum by ({by}) (rate({_metric(name, suffix)}[$__rate_interval]))"


def _quantiles(name: str, *quantiles: float) -> tuple[tuple[str, str], ...]:
    buckets = _rate(name, "pipeline, stage, le", "_bucket")
    return tuple(
        (f"histogram_quantile({q}, {buckets})", f"{{{{stage}}}} p{q * 100:.0f}") for q in quantiles
    )


def _by_stage(name: str, aggregate: str = "sum") -> tuple[str, str]:
    return f"{aggregate} by (pipeline, stage) ({_metric(name)})", "{{stage}}"


def panels() -> tuple[Panel, ...]:
    """The panels, from left to right and top to bottom."""
    by_stage = "pipeline, stage"
    return (
        Panel(
            "What is wrong",
            "none",
            ((f"max by (pipeline, stage, cause) ({_metric('stage_cause')})", "{{cause}}"),),
            kind="table",
        ),
        Panel(
            "How stages do",
            "none",
            ((f"max by (pipeline, stage, level) ({_metric('stage_level')}) > 0", "{{level}}"),),
            kind="table",
        ),
        Panel(
            "Stage state",
            "none",
            ((f"sum by (pipeline, stage, state) ({_metric('stage_state')}) > 0", "{{state}}"),),
            kind="table",
        ),
        Panel("Records in", "cps", ((_rate("received_records_total", by_stage), "{{stage}}"),)),
        Panel(
            "Records finished and acknowledged",
            "cps",
            ((_rate("acknowledged_records_total", by_stage), "{{stage}}"),),
        ),
        Panel(
            "Records out",
            "cps",
            ((_rate("produced_records_total", "pipeline, stage, topic"), "{{stage}} {{topic}}"),),
        ),
        Panel("Bytes in", "Bps", ((_rate("received_bytes_total", by_stage), "{{stage}}"),)),
        Panel(
            "Outcomes",
            "cps",
            (
                (
                    _rate("finished_records_total", "pipeline, stage, outcome"),
                    "{{stage}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Dead letters by reason",
            "cps",
            ((_rate("dead_letters_total", "pipeline, stage, reason"), "{{stage}} {{reason}}"),),
        ),
        Panel("Lag in records", "short", (_by_stage("lag_records"),)),
        Panel("Lag in seconds, worst partition", "s", (_by_stage("lag_seconds", "max"),)),
        Panel("Blocked partitions", "short", (_by_stage("partition_blocked"),)),
        Panel(
            "Longest time without progress of a partition with lag",
            "s",
            (_by_stage("partition_progress_age_seconds", "max"),),
        ),
        Panel("Attempt duration", "s", _quantiles("attempt_duration_seconds", 0.5, 0.95, 0.99)),
        Panel("End-to-end age", "s", _quantiles("record_age_seconds", 0.99)),
        Panel(
            "Records of a batch, and batches that failed as a whole",
            "short",
            (
                *_quantiles("batch_records", 0.5, 0.99),
                (_rate("failed_batches_total", by_stage), "{{stage}} failed batches/s"),
            ),
        ),
        Panel(
            "Busy lanes and stuck attempts",
            "short",
            (
                (_by_stage("busy_lanes")[0], "{{stage}} busy"),
                (_by_stage("stuck_attempts")[0], "{{stage}} stuck"),
            ),
        ),
        Panel("In flight, records", "short", (_by_stage("in_flight_records"),)),
        Panel("In flight, bytes", "bytes", (_by_stage("in_flight_bytes"),)),
        Panel(
            "Retries, timeouts and unreadable contexts",
            "cps",
            (
                (_rate("retries_total", by_stage), "{{stage}} retries"),
                (_rate("timeouts_total", by_stage), "{{stage}} timeouts"),
                (_rate("unreadable_contexts_total", by_stage), "{{stage}} unreadable"),
            ),
        ),
        Panel(
            "Retries later: records that come to wait, and their wait",
            "short",
            (
                (_rate("later_retries_total", "pipeline, stage, topic"), "{{topic}} a second"),
                (_by_topic("waiting_records"), "{{topic}} waiting"),
                (_by_topic("retry_wait_seconds", "max"), "{{topic}} next due in seconds"),
            ),
        ),
        Panel(
            "Seconds since the last commit, since progress, cut off, lag unknown, a topic at fault",
            "s",
            (
                (_by_stage("cut_off_seconds", "max")[0], "{{stage}} cut off"),
                (_by_stage("lag_unknown_seconds", "max")[0], "{{stage}} lag unknown"),
                (_by_stage("topic_fault_seconds", "max")[0], "{{stage}} topic at fault"),
                (_by_stage("last_commit_age_seconds", "max")[0], "{{stage}} commit"),
                (_by_stage("last_progress_age_seconds", "max")[0], "{{stage}} progress"),
            ),
        ),
        Panel(
            "Records held, probes, and agents replaced",
            "short",
            (
                (_by_stage("held_seconds", "max")[0], "{{stage}} held for seconds"),
                (_increase("holds_total"), "{{stage}} holds"),
                (_increase("probes_total"), "{{stage}} probes"),
                (_open_breakers("breaker_state", by_stage), "{{stage}} breaker not closed"),
                (_increase("agent_replacements_total"), "{{stage}} agents replaced"),
            ),
        ),
        Panel(
            "Parts of agents: calls and failures",
            "cps",
            (
                (_rate("part_calls_total", _PART), "{{stage}} {{agent}} calls"),
                (_rate("part_failures_total", _PART), "{{stage}} {{agent}} failures"),
            ),
        ),
        Panel(
            "Parts of agents: calls that run, on average",
            "short",
            ((_rate("part_duration_seconds_total", _PART), "{{stage}} {{agent}}"),),
        ),
        Panel(
            "Language models: calls, requests and failures",
            "cps",
            (
                (_rate("model_calls_total", _PART), "{{stage}} {{agent}} calls"),
                (_rate("model_requests_total", _PART), "{{stage}} {{agent}} requests"),
                (
                    _rate("model_failures_total", f"{_PART}, fault"),
                    "{{stage}} {{agent}} failures of the {{fault}}",
                ),
            ),
        ),
        Panel(
            "Language models: tokens",
            "cps",
            (
                (
                    _rate("model_tokens_total", f"{_PART}, direction"),
                    "{{stage}} {{agent}} {{direction}}",
                ),
            ),
        ),
        Panel(
            "Members of pools: active calls, capacity and score",
            "short",
            (
                (_by_member("member_active_calls"), "{{stage}} {{agent}} active"),
                (_by_member("member_capacity_calls"), "{{stage}} {{agent}} capacity"),
                (_by_member("member_score_seconds", "max"), "{{stage}} {{agent}} score"),
            ),
        ),
        Panel(
            "Members of pools: calls, failures, and who is left out",
            "cps",
            (
                (_rate("member_calls_total", _MEMBER), "{{stage}} {{agent}} calls"),
                (_rate("member_failures_total", _MEMBER), "{{stage}} {{agent}} failures"),
                (_open_breakers("member_breaker_state", _MEMBER), "{{stage}} {{agent}} left out"),
            ),
        ),
        Panel(
            "Commits",
            "cps",
            (
                (_rate("commits_total", by_stage), "{{stage}} succeeded"),
                (_rate("commit_failures_total", by_stage), "{{stage}} failed"),
            ),
        ),
        Panel(
            "Rebalances, producer replacements and assignments given up",
            "short",
            (
                (_increase("rebalances_total"), "{{stage}} rebalances"),
                (_increase("producer_replacements_total"), "{{stage}} producers"),
                (_increase("given_up_assignments_total"), "{{stage}} given up"),
            ),
        ),
        Panel(
            "Positions lost to retention, and skipped offsets",
            "short",
            (
                (_increase("position_resets_total"), "{{stage}} resets"),
                (_increase("passed_over_offsets_total"), "{{stage}} offsets"),
            ),
        ),
    )


def _open_breakers(name: str, by: str) -> str:
    selected = _SELECTED.removesuffix("}") + ',breaker!="closed"}'
    return f"max by ({by}) ({_METRICS[name]}{selected})"


def _by_topic(name: str, aggregate: str = "sum") -> str:
    return f"{aggregate} by (pipeline, stage, topic) ({_metric(name)})"


def _by_member(name: str, aggregate: str = "sum") -> str:
    return f"{aggregate} by ({_MEMBER}) ({_metric(name)})"


def _increase(name: str) -> str:
    return f"sum by (pipeline, stage) (increase({_metric(name)}[$__rate_interval]))"


def dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's JSON model."""
    return {
        "uid": "streamapp",
        "title": "streamapp",
        "tags": ["streamapp"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {
            "list": [
                _variable("pipeline", f"label_values({_METRICS['stage_state']}, pipeline)"),
                _variable(
                    "stage",
                    f'label_values({_METRICS["stage_state"]}{{pipeline=~"$pipeline"}}, stage)',
                ),
            ]
        },
        "panels": [_panel(i, panel) for i, panel in enumerate(panels())],
    }


def dashboard_json() -> str:
    """The text of the file."""
    return orjson.dumps(dashboard(), option=orjson.OPT_INDENT_2).decode() + "\n"


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": DATASOURCE_UID},
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(index: int, panel: Panel) -> dict[str, Any]:
    table = panel.kind == "table"
    return {
        "id": index + 1,
        "title": panel.title,
        "type": panel.kind,
        "datasource": {"type": "prometheus", "uid": DATASOURCE_UID},
        "gridPos": {
            "x": index % _COLUMNS * _WIDTH,
            "y": index // _COLUMNS * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "expr": expression,
                "legendFormat": legend,
                "instant": table,
                "format": "table" if table else "time_series",
            }
            for i, (expression, legend) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    sys.stdout.write(dashboard_json())
