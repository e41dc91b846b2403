"""The overview: what needs attention first, then how much is done, then who does it."""

from streamapp.observability.dashboards.dashboard import Dashboard, Panel, PanelKind, Query, Row
from streamapp.observability.dashboards.promql import (
    NO_RETRIES,
    STAGE,
    failed_share,
    increase,
    level,
    of_partitions,
    rate,
    series,
    unread_partitions,
    worst,
)
from streamapp.observability.dashboards.words import LEVELS, UP

_LINE = "{{pipeline}} {{stage}}"


def _count(title: str, description: str, grade: int) -> Panel:
    return Panel(
        title,
        description,
        "short",
        (Query(f"count({level()} == {grade}) or 0 * count({level()})", title),),
        PanelKind.STAT,
        width=6,
        height=4,
    )


OVERVIEW = Dashboard(
    "overview",
    "streamapp: overview",
    "Is anything wrong, where, and why?",
    ("pipeline",),
    (
        Row(
            "What is wrong",
            (
                _count("Stages that fail", "They do not do their work, or lose too much of it.", 3),
                _count("Stages not known", "Nobody can tell, for example while Kafka is away.", 2),
                _count("Stages to look at", "They do their work, and somebody should look.", 1),
                _count("Stages that do well", "Nothing is known to be wrong with them.", 0),
                Panel(
                    "Causes that are true now",
                    "One row for everything that is wrong with a stage. What each means and what to"
                    " do stands in docs/reference/causes.md and docs/runbooks.",
                    "none",
                    (Query(worst("stage_cause", f"{STAGE}, cause"), "is true"),),
                    PanelKind.TABLE,
                    width=12,
                    links_to_stage=True,
                ),
                Panel(
                    "How stages did",
                    "The worst that a worker has said of the stage, over time.",
                    "none",
                    (Query(level(), _LINE),),
                    PanelKind.STATE_TIMELINE,
                    width=12,
                    words=LEVELS,
                    links_to_stage=True,
                ),
                Panel(
                    "Causes over time",
                    "A line for each cause, from when it became true to when it ended.",
                    "none",
                    (Query(worst("stage_cause", f"{STAGE}, cause"), f"{_LINE}: {{{{cause}}}}"),),
                    width=24,
                    height=6,
                ),
            ),
        ),
        Row(
            "How much is done",
            (
                Panel(
                    "Records finished and acknowledged",
                    "Records of whose outputs and dead letters Kafka has all. Stages that are fused"
                    " to another are counted with it.",
                    "cps",
                    (Query(rate("acknowledged_records_total", STAGE), _LINE),),
                    links_to_stage=True,
                ),
                Panel(
                    "Lag in seconds, worst partition",
                    "Age of the first record that is not finished. Retry topics are left out, as"
                    " their records wait on purpose.",
                    "s",
                    (Query(worst("lag_seconds", STAGE, NO_RETRIES), _LINE),),
                    links_to_stage=True,
                ),
                Panel(
                    "Lag in records",
                    "Records between what is committed and the end of the topics.",
                    "short",
                    (Query(of_partitions("lag_records", STAGE, NO_RETRIES), _LINE),),
                    links_to_stage=True,
                ),
                Panel(
                    "Share of records that fail for good",
                    "Records that end in a dead letter, are dropped, or are passed on unchanged.",
                    "percentunit",
                    (Query(failed_share(), _LINE),),
                    links_to_stage=True,
                ),
                Panel(
                    "Dead letters",
                    "Dead letters that Kafka has acknowledged.",
                    "cps",
                    (Query(rate("dead_letters_total", STAGE), _LINE),),
                    links_to_stage=True,
                ),
                Panel(
                    "Held for",
                    "For how long a stage holds its records, since what it depends on is down or"
                    " it has too many dead letters. 0: it does not.",
                    "s",
                    (Query(worst("held_seconds", STAGE), _LINE),),
                    links_to_stage=True,
                ),
            ),
        ),
        Row(
            "Who does it",
            (
                Panel(
                    "Workers that report of a pipeline",
                    "Processes whose metrics Prometheus has.",
                    "short",
                    (
                        Query(
                            "count by (pipeline) (count by (pipeline, job, instance, worker)"
                            f" ({series('stage_state')}))",
                            "{{pipeline}}",
                        ),
                    ),
                ),
                Panel(
                    "Partitions that no worker reads",
                    "More than 0 for longer than a rebalance: a worker hangs, or a member that is"
                    " no worker of ours has them.",
                    "short",
                    (Query(unread_partitions(), _LINE),),
                ),
                Panel(
                    "Workers of a supervisor",
                    "Whether each process of `run --workers` answers.",
                    "none",
                    (
                        Query(
                            f"max by (instance, worker) ({series('worker_up')})",
                            "{{instance}} worker {{worker}}",
                        ),
                    ),
                    PanelKind.STATE_TIMELINE,
                    words=UP,
                ),
                Panel(
                    "What is wrong with workers",
                    "A line for each cause, of workers of `run --workers`.",
                    "none",
                    (
                        Query(
                            f"max by (instance, worker, cause) ({series('worker_cause')})",
                            "{{instance}} worker {{worker}}: {{cause}}",
                        ),
                    ),
                    width=12,
                ),
                Panel(
                    "Restarts of workers",
                    "How often a supervisor has started a worker again that had ended.",
                    "short",
                    (
                        Query(
                            increase("worker_restarts_total", "instance, worker"),
                            "{{instance}} worker {{worker}}",
                        ),
                    ),
                    width=12,
                ),
            ),
        ),
    ),
)
