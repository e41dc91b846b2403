"""Every metric that streamapp exports, in one table; those of a stage are in `stage_definitions`.

The exporter, the reference page, the dashboard and their tests are made from it, so a metric that
is not here cannot be exported or plotted. Names follow the Prometheus conventions: base
units, the unit at the end of the name, `_total` after that for counters.
"""

from streamapp.observability.metric_definition import (
    STAGE_LABELS,
    MetricDefinition,
    MetricKind,
    gauge,
    partition_gauge,
)
from streamapp.observability.stage_definitions import STAGE_METRICS

BUILD_INFO = MetricDefinition(
    "streamapp_build_info",
    MetricKind.GAUGE,
    "",
    ("version",),
    "Always 1; the label is the version of streamapp.",
)
"""The one metric that belongs to the process and to no stage."""

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
    partition_gauge(
        "streamapp_group_lag_records",
        "records",
        "Records between the committed offset of the stage's group and the end of the partition;"
        " absent until known.",
    ),
    partition_gauge(
        "streamapp_group_lag_seconds",
        "seconds",
        "Age of the first of them; 0 without any, absent until known.",
    ),
    partition_gauge(
        "streamapp_group_retention_left_seconds",
        "seconds",
        "Seconds until the first of them is deleted by its topic; absent without any, or if it is"
        " never.",
    ),
    gauge("streamapp_group_members", "members", "Members of the group of the stage."),
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
    (*STAGE_LABELS, "status"),
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
