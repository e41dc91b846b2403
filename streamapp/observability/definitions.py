"""Every metric that streamapp exports, in one table.

The exporter, the reference page, the dashboard and their tests are made from it, so a metric that
is not here cannot be exported or plotted. Names follow the Prometheus conventions: base
units, the unit at the end of the name, `_total` after that for counters.

`python -m streamapp.observability.definitions` prints the reference page.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from streamapp.observability.labels import LABELS, Label


class MetricKind(StrEnum):
    """The Prometheus type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric.

    Attributes:
        name: name as it is exported and queried, counters with `_total`.
        kind: counter, gauge or histogram.
        unit: base unit, the end of the name; empty for a plain 0 or 1.
        labels: names of its labels, in the order in which the exporter gives their values.
        help: one sentence for operators.
    """

    name: str
    kind: MetricKind
    unit: str
    labels: tuple[str, ...]
    help: str


_STAGE = ("pipeline", "stage")
_PARTITION = (*_STAGE, "topic", "partition")
_MEMBER = ("pool", "agent")


def _counter(name: str, unit: str, help_: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(name, MetricKind.COUNTER, unit, (*_STAGE, *labels), help_)


def _gauge(name: str, unit: str, help_: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(name, MetricKind.GAUGE, unit, (*_STAGE, *labels), help_)


def _partition_gauge(name: str, unit: str, help_: str) -> MetricDefinition:
    return MetricDefinition(name, MetricKind.GAUGE, unit, _PARTITION, help_)


def _histogram(name: str, unit: str, help_: str) -> MetricDefinition:
    return MetricDefinition(name, MetricKind.HISTOGRAM, unit, _STAGE, help_)


BUILD_INFO = MetricDefinition(
    "streamapp_build_info",
    MetricKind.GAUGE,
    "",
    ("version",),
    "Always 1; the label is the version of streamapp.",
)
"""The one metric that belongs to the process and to no stage."""

STAGE_METRICS: tuple[MetricDefinition, ...] = (
    _counter(
        "streamapp_received_records_total",
        "records",
        "Records taken, redelivered ones included, by topic; a fused stage has none.",
        "topic",
    ),
    _counter(
        "streamapp_received_bytes_total",
        "bytes",
        "Bytes of the values of the records taken, by topic; a fused stage has none.",
        "topic",
    ),
    _counter(
        "streamapp_finished_records_total", "records", "Records finished, by outcome.", "outcome"
    ),
    _counter(
        "streamapp_acknowledged_records_total",
        "records",
        "Records finished, of whose outputs and dead letters Kafka has all; none if the stage is"
        " fused.",
    ),
    _counter(
        "streamapp_produced_records_total",
        "records",
        "Output records that the broker acknowledged, by topic.",
        "topic",
    ),
    _histogram(
        "streamapp_attempt_duration_seconds", "seconds", "Duration of one attempt of the agent."
    ),
    _histogram(
        "streamapp_record_age_seconds",
        "seconds",
        "End-to-end age of a record: time of its processing less its timestamp.",
    ),
    _histogram(
        "streamapp_batch_records", "records", "Records of one call of an agent that takes batches."
    ),
    _counter(
        "streamapp_failed_batches_total",
        "batches",
        "Calls with several records that failed as a whole; each record was then tried alone.",
    ),
    _partition_gauge(
        "streamapp_lag_records",
        "records",
        "Records between the commit frontier and the end of the partition; absent until known.",
    ),
    _partition_gauge(
        "streamapp_lag_seconds",
        "seconds",
        "Age of the first unfinished record; 0 without lag, absent until known.",
    ),
    _partition_gauge(
        "streamapp_retention_left_seconds",
        "seconds",
        "Seconds until the first unfinished record is deleted by its topic; absent without lag, or"
        " if it is never.",
    ),
    _gauge(
        "streamapp_topic_partitions",
        "partitions",
        "Partitions of a topic that the stage reads, as this worker saw it last; 0 if it is gone.",
        "topic",
    ),
    _gauge("streamapp_in_flight_records", "records", "Records taken and not finished."),
    _gauge(
        "streamapp_in_flight_limit_records",
        "records",
        "Most records that may be taken and not finished; a fused stage has none.",
    ),
    _gauge(
        "streamapp_in_flight_bytes",
        "bytes",
        "Bytes of the records taken and not finished, and of outputs not acknowledged.",
    ),
    _gauge("streamapp_busy_lanes", "lanes", "Attempts that run now."),
    _gauge(
        "streamapp_lanes",
        "lanes",
        "Most attempts that may run at a time; a fused stage has none of its own.",
    ),
    _counter(
        "streamapp_lane_seconds_total",
        "seconds",
        "Time of all lanes together, by what they did; a fused stage has none of its own.",
        "activity",
    ),
    _gauge(
        "streamapp_stuck_attempts",
        "attempts",
        "Attempts that still run although they were cancelled a while ago.",
    ),
    _counter("streamapp_retries_total", "retries", "Attempts after the first of a record."),
    _counter(
        "streamapp_later_retries_total",
        "retries",
        "Records that the broker acknowledged in a retry topic, where they wait, by topic.",
        "topic",
    ),
    _partition_gauge(
        "streamapp_waiting_records",
        "records",
        "Records in a partition of a retry topic that are not finished; absent until known.",
    ),
    _partition_gauge(
        "streamapp_retry_wait_seconds",
        "seconds",
        "Seconds until the next record of a partition of a retry topic is due; 0 if it is, or there"
        " is none.",
    ),
    _counter("streamapp_timeouts_total", "timeouts", "Attempts that exceeded their deadline."),
    _counter(
        "streamapp_unreadable_contexts_total",
        "contexts",
        "Contexts that could not be read from the header of a record; the record was worked on.",
    ),
    _counter(
        "streamapp_dead_letters_total",
        "dead_letters",
        "Dead letters that the broker acknowledged, by reason.",
        "reason",
    ),
    _gauge(
        "streamapp_dead_letter_depth_records",
        "records",
        "Dead letters in the topic that were neither replayed nor discarded; told by one worker of"
        " the stage, absent until known.",
        "topic",
    ),
    _gauge(
        "streamapp_dead_letter_oldest_age_seconds",
        "seconds",
        "Age of the one of them that retention will delete first, by its timestamp; 0 without any.",
        "topic",
    ),
    _gauge(
        "streamapp_dead_letter_expiry_seconds",
        "seconds",
        "Seconds until retention may delete it; absent without any, or if it never does.",
        "topic",
    ),
    _counter("streamapp_commits_total", "commits", "Commits of offsets that succeeded."),
    _counter("streamapp_commit_failures_total", "failures", "Commits of offsets that failed."),
    _gauge(
        "streamapp_last_commit_age_seconds",
        "seconds",
        "Seconds since the last commit that succeeded; absent before the first.",
    ),
    _gauge(
        "streamapp_last_progress_age_seconds",
        "seconds",
        "Seconds since a record finished or lag appeared; absent before the first.",
    ),
    _gauge(
        "streamapp_cut_off_seconds",
        "seconds",
        "Seconds since the stage began to join its group or left it, or Kafka stopped answering;"
        " else 0.",
    ),
    _gauge(
        "streamapp_lag_unknown_seconds",
        "seconds",
        "Seconds since the lag of a partition is not known; else 0.",
    ),
    _gauge(
        "streamapp_topic_fault_seconds",
        "seconds",
        "Seconds since a topic of the stage is gone, or has partitions that it does not use; else"
        " absent.",
        "topic",
    ),
    _partition_gauge(
        "streamapp_partition_progress_age_seconds",
        "seconds",
        "Seconds since a record of the partition finished or lag appeared; 0 without lag, absent"
        " until known.",
    ),
    _counter(
        "streamapp_given_up_assignments_total",
        "assignments",
        "Times an assignment was given up because commits kept failing.",
    ),
    _counter(
        "streamapp_position_resets_total",
        "resets",
        "Times the position was not in the log and the stage continued elsewhere.",
    ),
    _counter(
        "streamapp_passed_over_offsets_total",
        "offsets",
        "Offsets skipped by these resets: deleted by retention, or left out by `latest`.",
    ),
    _counter("streamapp_rebalances_total", "rebalances", "Assignments received from the group."),
    _counter(
        "streamapp_producer_replacements_total",
        "replacements",
        "Times the producer was replaced after a failed batch.",
    ),
    _gauge(
        "streamapp_held_seconds",
        "seconds",
        "Seconds since records of the stage are held, because what it depends on is down or it has"
        " too many dead letters; else 0.",
    ),
    _counter("streamapp_holds_total", "holds", "Times that records began to be held."),
    _counter(
        "streamapp_probes_total",
        "probes",
        "Attempts made while records are held, to see whether they succeed again.",
    ),
    _gauge(
        "streamapp_breaker_state",
        "",
        "One series for each state of the breaker: 1 for the one it is in, else 0.",
        "breaker",
    ),
    _counter(
        "streamapp_agent_replacements_total",
        "replacements",
        "How often another agent took the place of one in an assembled pipeline, by cause.",
        "trigger",
    ),
    _counter(
        "streamapp_part_calls_total",
        "calls",
        "Calls of a part of the agent: a branch, a choice, a member of a pool.",
        "agent",
    ),
    _counter(
        "streamapp_part_failures_total",
        "failures",
        "Calls of the part that raised, also where another part or a default took over.",
        "agent",
    ),
    _counter(
        "streamapp_part_duration_seconds_total",
        "seconds",
        "How long all calls of the part took together.",
        "agent",
    ),
    _counter(
        "streamapp_model_calls_total",
        "calls",
        "Calls of an agent that were passed to its language model.",
        "agent",
    ),
    _counter(
        "streamapp_model_failures_total",
        "failures",
        "Such calls that failed, by who was at fault.",
        "agent",
        "fault",
    ),
    _counter(
        "streamapp_model_requests_total",
        "requests",
        "Requests that the provider of the model has answered; corrections of outputs are among"
        " them.",
        "agent",
    ),
    _counter(
        "streamapp_model_tokens_total",
        "tokens",
        "Tokens as the provider counts them.",
        "agent",
        "direction",
    ),
    _counter("streamapp_member_calls_total", "calls", "Calls of the member.", *_MEMBER),
    _counter(
        "streamapp_member_failures_total",
        "failures",
        "Calls of the member that failed, whoever was at fault.",
        *_MEMBER,
    ),
    _gauge("streamapp_member_active_calls", "calls", "Calls of the member that run.", *_MEMBER),
    _gauge(
        "streamapp_member_capacity_calls",
        "calls",
        "Most calls of the member that may run at a time.",
        *_MEMBER,
    ),
    _gauge(
        "streamapp_member_score_seconds",
        "seconds",
        "How long a call would keep the member from others; the lowest is called next.",
        *_MEMBER,
    ),
    _gauge(
        "streamapp_member_breaker_state",
        "",
        "One series for each state of the member's breaker: 1 for the one it is in, else 0.",
        *_MEMBER,
        "breaker",
    ),
    _partition_gauge(
        "streamapp_partition_blocked",
        "",
        "1 while the partition takes no more records, else 0.",
    ),
    _gauge(
        "streamapp_stage_state",
        "",
        "One series for each state: 1 for the state the stage is in, else 0.",
        "state",
    ),
    _gauge(
        "streamapp_stage_position",
        "position",
        "Place of the stage in its pipeline, from 1.",
    ),
    _gauge(
        "streamapp_stage_level",
        "",
        "One series for each level: 1 for how the stage does, as its worker sees it, else 0.",
        "level",
    ),
    _gauge(
        "streamapp_stage_cause",
        "",
        "1 for everything that is wrong with the stage; there is no series for what is not.",
        "cause",
    ),
)
"""Metrics of every stage."""

WORKER_METRICS: tuple[MetricDefinition, ...] = (
    MetricDefinition(
        "streamapp_worker_up",
        MetricKind.GAUGE,
        "",
        ("worker",),
        "1 if the worker process answered this scrape, else 0.",
    ),
    MetricDefinition(
        "streamapp_worker_restarts_total",
        MetricKind.COUNTER,
        "restarts",
        ("worker",),
        "Times the worker process ended unexpectedly and was started again.",
    ),
    MetricDefinition(
        "streamapp_worker_cause",
        MetricKind.GAUGE,
        "",
        ("worker", "cause"),
        "1 for everything that is wrong with the worker process; there is no series for what is"
        " not.",
    ),
)
"""Metrics that the supervisor of `run --workers` adds for each worker process."""

OUTSIDE_METRICS: tuple[MetricDefinition, ...] = (
    _partition_gauge(
        "streamapp_group_lag_records",
        "records",
        "Records between the committed offset of the stage's group and the end of the partition;"
        " absent until known.",
    ),
    _partition_gauge(
        "streamapp_group_lag_seconds",
        "seconds",
        "Age of the first of them; 0 without any, absent until known.",
    ),
    _partition_gauge(
        "streamapp_group_retention_left_seconds",
        "seconds",
        "Seconds until the first of them is deleted by its topic; absent without any, or if it is"
        " never.",
    ),
    _gauge("streamapp_group_members", "members", "Members of the group of the stage."),
    MetricDefinition(
        "streamapp_exporter_kafka_up",
        MetricKind.GAUGE,
        "",
        (),
        "1 if Kafka has answered the exporter at its last look, else 0.",
    ),
)
"""Metrics that `streamapp exporter` adds, of stages that run or do not, by what Kafka says.

They have names of their own where a worker tells of the same thing by other means, so that whoever
scrapes both counts nothing twice.
"""

STAGE_EXECUTION = MetricDefinition(
    "streamapp_stage_execution_duration_seconds",
    MetricKind.HISTOGRAM,
    "seconds",
    (*_STAGE, "status"),
    "From the first attempt of a stage on a value to the end of the last.",
)
PIPELINE_EXECUTION = MetricDefinition(
    "streamapp_pipeline_execution_duration_seconds",
    MetricKind.HISTOGRAM,
    "seconds",
    ("pipeline", "status"),
    "Duration of an execution of a pipeline; on Kafka, the age of a record that leaves it.",
)
EXECUTION_METRICS = (STAGE_EXECUTION, PIPELINE_EXECUTION)
"""Metrics that a `PrometheusCollector` exports, where a pipeline is declared with one."""

METRICS: tuple[MetricDefinition, ...] = (
    *STAGE_METRICS,
    BUILD_INFO,
    *WORKER_METRICS,
    *OUTSIDE_METRICS,
    *EXECUTION_METRICS,
)
"""The whole table."""


def metrics_reference() -> str:
    """The reference page, docs/reference/metrics.md, as Markdown."""
    lines = [
        "# Metrics",
        "",
        "Generated from `streamapp/observability/definitions.py` by",
        "`python -m streamapp.observability.definitions`.",
        "",
        "`/metrics` also carries the process, platform and garbage collector metrics of the",
        "Prometheus client (`process_*`, `python_*`). With `run --workers` every series of a",
        "worker has the label `worker` as well; those without it are the supervisor's own.",
        "Series of a partition disappear when it is revoked. Keys, offsets and error texts are",
        "never labels.",
        "",
        "`streamapp exporter` has the metrics of groups and its own `streamapp_exporter_kafka_up`.",
        "It also has",
        "`streamapp_dead_letter_depth_records`, `streamapp_dead_letter_oldest_age_seconds`,",
        "`streamapp_dead_letter_expiry_seconds` and two causes of `streamapp_stage_cause`. They",
        "mean the same as those of workers: take the largest or the smallest, never the sum.",
        "",
        "The buckets of a histogram double, so a quantile is known up to a factor of two. Tables,",
        "summaries and the status page show the upper bound of its bucket, as in `p99 ≤ 8.19 ms`.",
        "In OpenMetrics, buckets of attempts and ages name a trace, if there are",
        "[traces](../how-to/watch-it.md#traces).",
        "",
        *_table(
            ("metric", "kind", "unit", "labels", "meaning"),
            (
                (f"`{m.name}`", m.kind, m.unit or "0 or 1", _code_list(m.labels), m.help)
                for m in METRICS
            ),
        ),
        "",
        "## Labels",
        "",
        *_table(
            ("label", "meaning", "values"),
            ((f"`{name}`", label.meaning, _values(label)) for name, label in LABELS.items()),
        ),
        "",
        "So the number of series depends on what is declared and assigned, and not on what the",
        "records hold, how many there are, or how they fail.",
    ]
    return "\n".join(lines) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def _values(label: Label) -> str:
    return _code_list(label.values) or label.source


def _code_list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.stdout.write(metrics_reference())
