"""A pipeline: its stages in order, and what flows through them."""

from streamapp.observability.dashboards.dashboard import Dashboard, Panel, PanelKind, Query, Row
from streamapp.observability.dashboards.promql import (
    NO_RETRIES,
    STAGE,
    failed_share,
    least,
    level,
    of_partitions,
    quantile,
    rate,
    worst,
)
from streamapp.observability.dashboards.words import LEVELS

_TOPIC = "pipeline, stage, topic"

PIPELINE = Dashboard(
    "pipeline",
    "streamapp: pipeline",
    "What flows through the stages of a pipeline, and where does it wait?",
    ("pipeline",),
    (
        Row(
            "Stages in order",
            (
                Panel(
                    "Stages",
                    "One row for each stage, in the order in which records pass. Rates, shares and"
                    " quantiles are of the last minutes. A stage that is fused to the one before"
                    " has no lag and no acknowledgements of its own.",
                    "short",
                    (
                        Query(worst("stage_position", STAGE), "place"),
                        Query(level(), "level"),
                        Query(rate("acknowledged_records_total", STAGE), "acknowledged"),
                        Query(rate("finished_records_total", STAGE), "finished"),
                        Query(of_partitions("lag_records", STAGE, NO_RETRIES), "lag"),
                        Query(worst("lag_seconds", STAGE, NO_RETRIES), "lag in time"),
                        Query(quantile("attempt_duration_seconds", 0.99, STAGE), "attempt p99"),
                        Query(failed_share(), "failed"),
                    ),
                    PanelKind.TABLE,
                    width=24,
                    words=LEVELS,
                    column_units={
                        "acknowledged": "cps",
                        "finished": "cps",
                        "lag in time": "s",
                        "attempt p99": "s",
                        "failed": "percentunit",
                    },
                    links_to_stage=True,
                ),
            ),
        ),
        Row(
            "What flows",
            (
                Panel(
                    "Records in",
                    "Records taken from topics, redelivered ones included.",
                    "cps",
                    (Query(rate("received_records_total", _TOPIC), "{{stage}} {{topic}}"),),
                    width=6,
                ),
                Panel(
                    "Records finished and acknowledged",
                    "Records of whose outputs and dead letters Kafka has all.",
                    "cps",
                    (Query(rate("acknowledged_records_total", STAGE), "{{stage}}"),),
                    width=6,
                ),
                Panel(
                    "Records out",
                    "Output records that Kafka has acknowledged.",
                    "cps",
                    (Query(rate("produced_records_total", _TOPIC), "{{stage}} {{topic}}"),),
                    width=6,
                ),
                Panel(
                    "Outcomes",
                    "How records ended, whatever became of their outputs.",
                    "cps",
                    (
                        Query(
                            rate("finished_records_total", f"{STAGE}, outcome"),
                            "{{stage}} {{outcome}}",
                        ),
                    ),
                    width=6,
                ),
            ),
        ),
        Row(
            "Where it waits",
            (
                Panel(
                    "Lag in records",
                    "Records between what is committed and the end of the topics.",
                    "short",
                    (Query(of_partitions("lag_records", STAGE, NO_RETRIES), "{{stage}}"),),
                    width=6,
                ),
                Panel(
                    "Lag in seconds, worst partition",
                    "Age of the first record that is not finished.",
                    "s",
                    (Query(worst("lag_seconds", STAGE, NO_RETRIES), "{{stage}}"),),
                    width=6,
                ),
                Panel(
                    "Age of records when they are worked on, p99",
                    "Time of processing less the timestamp of the record, end to end.",
                    "s",
                    (Query(quantile("record_age_seconds", 0.99, STAGE), "{{stage}}"),),
                    width=6,
                ),
                Panel(
                    "Share of records that fail for good",
                    "Records that end in a dead letter, are dropped, or are passed on unchanged.",
                    "percentunit",
                    (Query(failed_share(), "{{stage}}"),),
                    width=6,
                ),
            ),
        ),
        Row(
            "Executions of a collector",
            (
                Panel(
                    "Executions of the pipeline",
                    "Values that have passed, where the pipeline is declared with a"
                    " PrometheusCollector.",
                    "cps",
                    (
                        Query(
                            rate(
                                "pipeline_execution_duration_seconds",
                                "pipeline, status",
                                suffix="_count",
                            ),
                            "{{pipeline}} {{status}}",
                        ),
                    ),
                ),
                Panel(
                    "Duration of an execution, p99",
                    "From a record's timestamp, or from the call in process, to the end.",
                    "s",
                    (
                        Query(
                            quantile("pipeline_execution_duration_seconds", 0.99, "pipeline"),
                            "{{pipeline}}",
                        ),
                    ),
                ),
                Panel(
                    "Duration of a stage of an execution, p99",
                    "From the first attempt of a stage on a value to the end of the last.",
                    "s",
                    (
                        Query(
                            quantile("stage_execution_duration_seconds", 0.99, STAGE), "{{stage}}"
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "By what Kafka says",
            (
                Panel(
                    "Lag of groups",
                    "Of stages that run or do not, by their committed offsets, as `streamapp"
                    " exporter` sees it. That of workers is a little less: it counts what they have"
                    " finished and not committed yet.",
                    "short",
                    (Query(of_partitions("group_lag_records", STAGE), "{{pipeline}} {{stage}}"),),
                    width=6,
                ),
                Panel(
                    "Oldest record that no group has read",
                    "Seconds since it came; in retry topics too, where records wait on purpose.",
                    "s",
                    (Query(worst("group_lag_seconds", STAGE), "{{pipeline}} {{stage}}"),),
                    width=6,
                ),
                Panel(
                    "Oldest record deleted in",
                    "By the retention of its topic, if no group reads it until then; without a line"
                    " there is none, or it is kept for ever.",
                    "s",
                    (Query(least("group_retention_left_seconds", _TOPIC), "{{stage}} {{topic}}"),),
                    width=6,
                ),
                Panel(
                    "Members of groups",
                    "With none, nobody reads: if the stage has lag, `StreamappNotRunning` tells.",
                    "short",
                    (Query(worst("group_members", STAGE), "{{pipeline}} {{stage}}"),),
                    width=6,
                ),
            ),
        ),
    ),
)
