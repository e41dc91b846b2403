"""A stage by worker and by partition: attempts, lanes, commits, the group, and its parts."""

from streamapp.observability.dashboards.dashboard import Dashboard, Panel, PanelKind, Query, Row
from streamapp.observability.dashboards.promql import (
    PARTITION,
    PROCESS,
    STAGE,
    failed_share,
    increase,
    of_partitions,
    quantile,
    rate,
    series,
    summed,
    worst,
)
from streamapp.observability.dashboards.stage_agents import AGENT_ROWS

_TOPIC = "pipeline, stage, topic"
_WORKER = "{{stage}} {{instance}} {{worker}}"
_PLACE = "{{stage}} {{topic}}[{{partition}}]"
_QUANTILES = (0.5, 0.95, 0.99)

_WORK = Row(
    "Work",
    (
        Panel(
            "Causes that are true now",
            "One row for everything that is wrong with the stage, by worker.",
            "none",
            (Query(worst("stage_cause", f"{PROCESS}, cause"), "is true"),),
            PanelKind.TABLE,
        ),
        Panel(
            "State",
            "A line for each state in which workers are.",
            "none",
            (
                Query(
                    f"{summed('stage_state', f'{STAGE}, state')} > 0",
                    "{{stage}} {{state}}",
                ),
            ),
        ),
        Panel(
            "Outcomes",
            "How records ended.",
            "cps",
            (Query(rate("finished_records_total", f"{STAGE}, outcome"), "{{stage}} {{outcome}}"),),
        ),
        Panel(
            "Records in",
            "Records taken from topics, redelivered ones included.",
            "cps",
            (Query(rate("received_records_total", _TOPIC), "{{stage}} {{topic}}"),),
        ),
        Panel(
            "Bytes in",
            "Bytes of the values of these records.",
            "Bps",
            (Query(rate("received_bytes_total", _TOPIC), "{{stage}} {{topic}}"),),
        ),
        Panel(
            "Records out",
            "Output records that Kafka has acknowledged.",
            "cps",
            (Query(rate("produced_records_total", _TOPIC), "{{stage}} {{topic}}"),),
        ),
    ),
)

_WORKERS = Row(
    "By worker",
    (
        Panel(
            "Records finished and acknowledged",
            "Records of whose outputs and dead letters Kafka has all.",
            "cps",
            (Query(rate("acknowledged_records_total", PROCESS), _WORKER),),
        ),
        Panel(
            "Lag in records",
            "Lag of the partitions that the worker has.",
            "short",
            (Query(summed("lag_records", PROCESS), _WORKER),),
        ),
        Panel(
            "What lanes do",
            "Share of the time of all lanes: busy with attempts, idle without records, or blocked"
            " until Kafka takes outputs.",
            "percentunit",
            (
                Query(
                    f"{rate('lane_seconds_total', f'{STAGE}, activity')} / on ({STAGE})"
                    f" group_left () ({rate('lane_seconds_total', STAGE)} > 0)",
                    "{{stage}} {{activity}}",
                ),
            ),
        ),
        Panel(
            "In flight, records",
            "Taken and not finished, and the most that may be.",
            "short",
            (
                Query(summed("in_flight_records", PROCESS), _WORKER),
                Query(summed("in_flight_limit_records", STAGE), "{{stage}} limit of all"),
            ),
        ),
        Panel(
            "In flight, bytes",
            "Of records taken and not finished, and of outputs not acknowledged.",
            "bytes",
            (Query(summed("in_flight_bytes", PROCESS), _WORKER),),
        ),
        Panel(
            "Attempts that run",
            "Attempts at this moment, the most that may run, and those that go on although they"
            " were cancelled.",
            "short",
            (
                Query(summed("busy_lanes", STAGE), "{{stage}} running"),
                Query(summed("lanes", STAGE), "{{stage}} most"),
                Query(summed("stuck_attempts", STAGE), "{{stage}} stuck"),
            ),
        ),
    ),
)

_ATTEMPTS = Row(
    "Attempts",
    (
        Panel(
            "Duration of an attempt",
            "Quantiles in the interval; buckets double, so they are right up to a factor of two.",
            "s",
            tuple(
                Query(
                    quantile("attempt_duration_seconds", one, STAGE),
                    f"{{{{stage}}}} p{one * 100:.0f}",
                )
                for one in _QUANTILES
            ),
        ),
        Panel(
            "Durations of attempts",
            "How many attempts took how long.",
            "s",
            (Query(rate("attempt_duration_seconds", "le", suffix="_bucket"), "{{le}}"),),
            PanelKind.HEATMAP,
        ),
        Panel(
            "Age of records when they are worked on",
            "Time of processing less the timestamp of the record, end to end.",
            "s",
            tuple(
                Query(quantile("record_age_seconds", one, STAGE), f"{{{{stage}}}} p{one * 100:.0f}")
                for one in _QUANTILES
            ),
        ),
        Panel(
            "Retries and timeouts",
            "Attempts after the first of a record, attempts that took too long, and contexts that"
            " could not be read.",
            "cps",
            (
                Query(rate("retries_total", STAGE), "{{stage}} retries"),
                Query(rate("timeouts_total", STAGE), "{{stage}} timeouts"),
                Query(rate("unreadable_contexts_total", STAGE), "{{stage}} unreadable"),
            ),
        ),
        Panel(
            "Share of records that fail for good",
            "Records that end in a dead letter, are dropped, or are passed on unchanged.",
            "percentunit",
            (Query(failed_share(), "{{stage}}"),),
        ),
        Panel(
            "Dead letters by reason",
            "Dead letters that Kafka has acknowledged.",
            "cps",
            (Query(rate("dead_letters_total", f"{STAGE}, reason"), "{{stage}} {{reason}}"),),
        ),
        Panel(
            "Records of a batch",
            "Of agents that take batches.",
            "short",
            tuple(
                Query(quantile("batch_records", one, STAGE), f"{{{{stage}}}} p{one * 100:.0f}")
                for one in (0.5, 0.99)
            ),
        ),
        Panel(
            "Batches that failed as a whole",
            "Each record of them was then tried alone.",
            "cps",
            (Query(rate("failed_batches_total", STAGE), "{{stage}}"),),
        ),
    ),
)

_PARTITIONS = Row(
    "By partition",
    (
        Panel(
            "Lag in records",
            "Records between what is committed and the end of the partition.",
            "short",
            (Query(of_partitions("lag_records", PARTITION), _PLACE),),
        ),
        Panel(
            "Lag in seconds",
            "Age of the first record that is not finished.",
            "s",
            (Query(worst("lag_seconds", PARTITION), _PLACE),),
        ),
        Panel(
            "Deleted in",
            "Time until the first record that is not finished is deleted by its topic. Nothing"
            " without lag.",
            "s",
            (Query(f"min by ({PARTITION}) ({series('retention_left_seconds')})", _PLACE),),
        ),
        Panel(
            "Without progress for",
            "Time since a record of the partition finished, while it has lag.",
            "s",
            (Query(worst("partition_progress_age_seconds", PARTITION), _PLACE),),
        ),
        Panel(
            "Partitions that take no more records for now",
            "Since too many of their records are in flight or wait.",
            "short",
            (Query(of_partitions("partition_blocked", _TOPIC), "{{stage}} {{topic}}"),),
        ),
        Panel(
            "Partitions, and those that are read",
            "They differ for longer than a rebalance if a worker hangs, or a member that is no"
            " worker of ours has some.",
            "short",
            (
                Query(worst("topic_partitions", _TOPIC), "{{stage}} {{topic}} all"),
                Query(
                    f"count by ({_TOPIC}) ({worst('partition_blocked', PARTITION)})",
                    "{{stage}} {{topic}} read",
                ),
            ),
        ),
    ),
)

_GROUP = Row(
    "Commits and the group",
    (
        Panel(
            "Commits",
            "Commits of offsets that succeeded, and that failed.",
            "cps",
            (
                Query(rate("commits_total", STAGE), "{{stage}} succeeded"),
                Query(rate("commit_failures_total", STAGE), "{{stage}} failed"),
            ),
        ),
        Panel(
            "Times since",
            "The last commit, and the last progress.",
            "s",
            (
                Query(worst("last_commit_age_seconds", STAGE), "{{stage}} commit"),
                Query(worst("last_progress_age_seconds", STAGE), "{{stage}} progress"),
            ),
        ),
        Panel(
            "Rebalances",
            "Assignments received, and those given up because commits kept failing.",
            "short",
            (
                Query(increase("rebalances_total", PROCESS), f"{_WORKER} rebalances"),
                Query(increase("given_up_assignments_total", STAGE), "{{stage}} given up"),
            ),
        ),
        Panel(
            "Not known, or not there, for",
            "Out of the group or without an answer of Kafka; lag unknown; a topic at fault.",
            "s",
            (
                Query(worst("cut_off_seconds", STAGE), "{{stage}} cut off"),
                Query(worst("lag_unknown_seconds", STAGE), "{{stage}} lag unknown"),
                Query(worst("topic_fault_seconds", _TOPIC), "{{stage}} {{topic}} at fault"),
            ),
        ),
        Panel(
            "Batches that Kafka refused",
            "Times the producer was replaced after a failed batch.",
            "short",
            (Query(increase("producer_replacements_total", STAGE), "{{stage}}"),),
        ),
        Panel(
            "Positions lost",
            "Positions that were not in the log any more, and the offsets that were skipped.",
            "short",
            (
                Query(increase("position_resets_total", STAGE), "{{stage}} positions"),
                Query(increase("passed_over_offsets_total", STAGE), "{{stage}} offsets"),
            ),
        ),
    ),
)

STAGE_DASHBOARD = Dashboard(
    "stage",
    "streamapp: stage",
    "What does a stage do, by worker and by partition?",
    ("pipeline", "stage"),
    (_WORK, _WORKERS, _ATTEMPTS, _PARTITIONS, _GROUP, *AGENT_ROWS),
)
